"""Config sources: each module reads one kind of file into `visionport.config`'s dataclasses."""
