"""Does an artifact give the checkpoint's own answers?"""
