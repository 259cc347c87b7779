"""Network kinds: VPC, subnets, gateways, routes, endpoints, security groups, flow logs."""
