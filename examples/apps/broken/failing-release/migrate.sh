echo 'migrating: there is no table named orders' >&2
exit 3
