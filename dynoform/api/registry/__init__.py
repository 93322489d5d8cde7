"""The container registry as users see it: ``registry.<host>/<app>/<type>``, in front of the platform's own registry."""
