"""The API's own description, OpenAPI 3.1: made from what routes declare and from the types of what comes in and goes out."""
