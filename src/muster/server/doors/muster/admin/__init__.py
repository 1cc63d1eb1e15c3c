"""What do operators do to the service as a whole?"""
