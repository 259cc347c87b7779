"""Scripts that run inside AWS's containers, where there is no mlplat: each is one file that imports nothing of it.

They stay within Python 3.8, pandas 1.1 and the boto3 that AWS's older images bring.
"""
