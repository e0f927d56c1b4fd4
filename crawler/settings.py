"""The settings of the project's own crawls; `optout crawl` and `scrapy crawl pages` share them."""

BOT_NAME = "optout"
SPIDER_MODULES = ["crawler.spiders"]
NEWSPIDER_MODULE = "crawler.spiders"

ADDONS = {"crawler.addon.OptOutAddon": 100}
OPTOUT_TOKEN = "OptOutBot"
OPTOUT_DIR = "crawl"
OPTOUT_HASH_BODIES = True
USER_AGENT = "OptOutBot"

SCHEDULER = "crawler.frontier.Frontier"
JOBDIR = "crawl/job"
EXTENSIONS = {"crawler.report.ReportWriter": 0}
ITEM_PIPELINES = {"crawler.pipelines.KeepPages": 100}

# As fast as a host answers, and no faster: two requests at a time, paced by its own latency.
AUTOTHROTTLE_ENABLED = True
AUTOTHROTTLE_START_DELAY = 0.2
AUTOTHROTTLE_MAX_DELAY = 60.0
AUTOTHROTTLE_TARGET_CONCURRENCY = 2.0
CONCURRENT_REQUESTS = 32
CONCURRENT_REQUESTS_PER_DOMAIN = 4
DOWNLOAD_TIMEOUT = 60

# A hundred workers for every response, Scrapy's default, cost half of a small page's processor time.
CONCURRENT_ITEMS = 8

# Nothing but the crawl itself may steer it, and nothing but it keeps pages.
COOKIES_ENABLED = False
REMOTE_CONTROL_ENABLED = False
TELNETCONSOLE_ENABLED = False

LOG_LEVEL = "INFO"
