"""What an operator gives Prometheus and Grafana: a configuration, alert rules, and boards, made from plain data."""
