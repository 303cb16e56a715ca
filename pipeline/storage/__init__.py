"""Local copies of what lies at URLs: inputs that are read here, and work folders that other machines continue."""
