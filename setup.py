"""The compiled tier of the audit, which is built where there is a C compiler and left out where there is none."""

from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension("optout.audit._kernel", ["optout/audit/_kernel.c"], extra_compile_args=["-O3"], optional=True)
    ]
)
