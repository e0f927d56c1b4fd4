"""The audit as a step of other people's pipelines. Each module needs the library that it is named after."""
