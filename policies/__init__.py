"""What a stack in production has to be: a policy pack of Pulumi's, ``pulumi preview --policy-pack policies``."""
