"""The language of lists: filters, orders, pages and fields, of whatever rows."""
