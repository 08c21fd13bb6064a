"""Is this an OpenAPI 3.1 document, and does each of its examples fit its schema? Usage: document.py FILE"""

import json
import sys

from jsonschema_rs import Draft202012Validator
from openapi_spec_validator import validate


class Document:
    def __init__(self, text):
        self.root = json.loads(text)
        self.count = 0
        self.faults = []

    def resolve(self, value):
        while isinstance(value, dict) and "$ref" in value:
            pointer = value["$ref"].removeprefix("#/").split("/")
            value = self.root
            for key in pointer:
                value = value[key]
        return value

    def check(self, place, schema, example):
        self.count += 1
        # References lead to the components, so these come along.
        schema = {**schema, "components": self.root["components"]}
        for error in Draft202012Validator(schema, validate_formats=True).iter_errors(example):
            self.faults.append(f"{place}: {error}")

    def check_media(self, place, content):
        for media in content.values():
            for name, example in media.get("examples", {}).items():
                self.check(f"{place} {name}", media["schema"], self.resolve(example)["value"])
            if "example" in media:
                self.check(place, media["schema"], media["example"])

    def check_operation(self, place, operation):
        for parameter in operation.get("parameters", []):
            self.check(f"{place} {parameter['name']}", parameter["schema"], parameter["example"])
        self.check_media(f"{place} body", operation.get("requestBody", {}).get("content", {}))
        for status, response in operation["responses"].items():
            self.check_media(f"{place} {status}", self.resolve(response).get("content", {}))

    def check_all(self):
        for path, item in self.root["paths"].items():
            for method, operation in item.items():
                self.check_operation(f"{method} {path}", operation)
        for name, header in self.root["components"]["headers"].items():
            self.check(name, header["schema"], header["example"])


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        document = Document(file.read())
    validate(document.root)
    document.check_all()
    for fault in document.faults:
        print(fault, file=sys.stderr)
    print(f"{document.count} examples checked")
    sys.exit(bool(document.faults) or not document.count)


if __name__ == "__main__":
    main()
