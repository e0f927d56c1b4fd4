"""The spiders that the command and scrapy crawl run."""
