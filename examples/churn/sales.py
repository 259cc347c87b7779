"""Makes data/products.csv and data/transactions.csv: what the operator sells, and what its customers bought.

Invented, but not at random: who has the international plan calls abroad, who has voice mail bought it once, and who
is about to leave buys less. Always the same two files: `python sales.py`.
"""

from __future__ import annotations

import csv
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

DATA = Path(__file__).parent / "data"
START, DAYS = datetime(2026, 1, 1, tzinfo=UTC), 90
TRANSACTIONS = 2500

PRODUCTS = ("product_id", "name", "category", "monthly_fee", "price", "included_minutes", "included_messages", "contract_months", "active")  # fmt: skip  # noqa: E501
SALES = ("transaction_id", "event_time", "customer_id", "product_id", "channel", "payment", "quantity", "amount", "refunded")  # fmt: skip  # noqa: E501

Row = dict[str, object]


def products() -> list[Row]:
    """Plans in five sizes for three kinds of customers, what goes with them, and telephones."""
    found: list[Row] = []

    def add(name: str, category: str, fee: float, price: float, minutes: int, messages: int, months: int) -> None:
        number = len(found) + 1
        active = "no" if number % 13 == 0 else "yes"
        values = (f"P{number:03d}", name, category, f"{fee:.2f}", f"{price:.2f}", minutes, messages, months, active)
        found.append(dict(zip(PRODUCTS, values, strict=True)))

    for kind, factor in (("Personal", 1.0), ("Family", 1.6), ("Business", 2.2)):
        for size, (name, minutes) in enumerate((("S", 100), ("M", 250), ("L", 500), ("XL", 1000), ("Max", 5000))):
            add(f"{kind} {name}", "plan", factor * (9.99 + 6 * size), 0.0, minutes, 50 * (size + 1), 24)
    for name, fee in (("Voice mail", 1.99), ("Call waiting", 0.99), ("Second number", 3.49), ("Insurance", 4.99)):
        add(name, "add_on", fee, 0.0, 0, 0, 1)
    for place, fee in (("Canada", 4.99), ("Mexico", 4.99), ("Europe", 9.99), ("World", 19.99)):
        for minutes in (60, 300):
            add(f"International {place} {minutes}", "international", fee * (1 + minutes / 300), 0.0, minutes, 0, 1)
    for maker in ("Alder", "Birch", "Cedar", "Dogwood"):
        for model, price in (("Mini", 149.0), ("One", 299.0), ("Plus", 449.0), ("Pro", 699.0), ("Fold", 999.0)):
            add(f"{maker} {model}", "device", 0.0, price - 10 * len(maker), 0, 0, 0)
    return found


def transactions(catalogue: list[Row], customers: list[dict[str, str]]) -> list[Row]:
    """What was bought in the first three months of 2026, the earliest first."""
    dice = random.Random(7)  # noqa: S311
    by_category = {
        each["category"]: [one for one in catalogue if one["category"] == each["category"]] for each in catalogue
    }
    seconds = sorted(dice.sample(range(DAYS * 24 * 3600), TRANSACTIONS))
    found = []
    for number, second in enumerate(seconds, 1):
        customer = dice.choices(customers, [1 if each["churn"] == "yes" else 3 for each in customers])[0]
        product = dice.choice(by_category[_category(dice, customer)])
        quantity = dice.choice((1, 1, 1, 1, 2)) if product["category"] != "plan" else 1
        amount = quantity * (float(str(product["monthly_fee"])) + float(str(product["price"])))
        values = (
            f"T{number:06d}",
            (START + timedelta(seconds=second)).strftime("%Y-%m-%dT%H:%M:%SZ"),
            customer["customer_id"],
            product["product_id"],
            dice.choices(("web", "shop", "phone"), (5, 3, 2))[0],
            dice.choices(("card", "direct_debit", "cash"), (5, 4, 1))[0],
            quantity,
            f"{amount:.2f}",
            "yes" if dice.random() < 0.03 else "no",
        )
        found.append(dict(zip(SALES, values, strict=True)))
    return found


def _category(dice: random.Random, customer: dict[str, str]) -> object:
    weights = {
        "plan": 3.0,
        "add_on": 4.0 if customer["voice_mail_plan"] == "yes" else 2.0,
        "international": 5.0 if customer["international_plan"] == "yes" else 0.5,
        "device": 1.0,
    }
    return dice.choices(list(weights), list(weights.values()))[0]


def write(path: Path, rows: list[Row]) -> None:
    """The rows as CSV."""
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def main() -> None:
    """Write both files."""
    with (DATA / "customers.csv").open(newline="") as stream:
        customers = list(csv.DictReader(stream))
    catalogue = products()
    write(DATA / "products.csv", catalogue)
    write(DATA / "transactions.csv", transactions(catalogue, customers))


if __name__ == "__main__":
    main()
