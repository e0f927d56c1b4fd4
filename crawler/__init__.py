"""The Scrapy project, and the add-on that any other Scrapy project can switch on."""
