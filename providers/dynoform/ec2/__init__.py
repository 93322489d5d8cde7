"""Hosts at Amazon EC2, through boto3: ``*_plan`` decides, ``aws`` calls, the rest are the resources."""
