"""What deploy/setup.py is made of. Standard library only, and in the words of Python 3.8, so that it runs anywhere."""
