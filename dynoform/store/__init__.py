"""The platform's store on PostgreSQL: tables, migrations, and the changes that must happen in one transaction."""
