#!/usr/bin/env python3
"""Do docker-compose.yml, .env.example, .dockerignore and the Dockerfile still fit each other and the programs?

Nothing here needs Docker or a package: this runs in every `make check`, also where there is neither. It looks for what
goes wrong unseen, such as a setting that no container is ever given, or a crate that the image is built without.
"""

import json
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# Settings that containers have no use for.
NOT_IN_CONTAINERS = {"DATA_DIR"}  # of the one-process shape; the image sets it

# What may be in .env besides what docker-compose.yml asks for: Compose itself reads it.
COMPOSE_OWN = {"COMPOSE_PROFILES"}

SECRETS = {
    "POSTGRES_PASSWORD", "RABBITMQ_PASSWORD", "HULAK_SECRET", "HULAK_API_KEY", "HULAK_SPARROW_TOKEN",
}

OURS = ("migrate", "api", "worker", "simulator")

# `${NAME}` and `${NAME:-default}`, `${NAME:?complaint}`; `$$` stands for a dollar.
VARIABLE = re.compile(r"(?<!\$)\$\{([A-Za-z_][A-Za-z0-9_]*)(?:(:?[-?])([^}]*))?\}")


def read(path):
    return (ROOT / path).read_text(encoding="utf-8")


# --- As much YAML as docker-compose.yml uses: block maps and lists, flow lists, anchors, merges, scalars --------------


class Yaml:
    """A reader that refuses what it does not know, so that it never understands a file otherwise than Compose does."""

    def __init__(self, text):
        self.anchors = {}
        self.lines = []
        for number, line in enumerate(text.splitlines(), 1):
            line = strip_comment(line)
            if line.strip():
                if "\t" in line:
                    raise ValueError(f"line {number}: a tab")
                self.lines.append((number, len(line) - len(line.lstrip()), line.strip()))
        self.at = 0

    def document(self):
        value = self.block(0)
        if self.at != len(self.lines):
            raise ValueError(f"line {self.lines[self.at][0]}: wrong indentation")
        return value

    def block(self, indent):
        return self.sequence(indent) if self.lines[self.at][2].startswith("- ") else self.mapping(indent)

    def here(self, indent):
        return self.at < len(self.lines) and self.lines[self.at][1] == indent

    def sequence(self, indent):
        items = []
        while self.here(indent) and self.lines[self.at][2].startswith("- "):
            number, _, text = self.lines[self.at]
            item = text[2:].strip()
            if re.match(r"[\w-]+:( |$)", item):
                raise ValueError(f"line {number}: maps within lists are beyond this reader")
            items.append(self.scalar(number, item))
            self.at += 1
        return items

    def mapping(self, indent):
        result, merged = {}, {}
        while self.here(indent):
            number, _, text = self.lines[self.at]
            match = re.match(r"([\w.<-]+):(?: +(.*))?$", text)
            if not match:
                raise ValueError(f"line {number}: not `key: value`")
            key, rest = match[1], match[2] or ""
            self.at += 1
            value = self.value(number, indent, rest)
            if key == "<<":
                # Of several maps the first that has a key wins.
                for other in value if isinstance(value, list) else [value]:
                    for name, inherited in other.items():
                        merged.setdefault(name, inherited)
            elif key in result:
                raise ValueError(f"line {number}: {key} stands here twice")
            else:
                result[key] = value
        return {**merged, **result}

    def value(self, number, indent, rest):
        anchor = re.match(r"&(\w+)(?: +|$)(.*)", rest)
        rest = anchor[2] if anchor else rest
        if rest:
            value = self.scalar(number, rest)
        elif self.at < len(self.lines) and self.lines[self.at][1] > indent:
            value = self.block(self.lines[self.at][1])
        else:
            value = None
        if anchor:
            self.anchors[anchor[1]] = value
        return value

    def scalar(self, number, text):
        if text[0] == "*":
            return self.anchors[text[1:]]
        if text[0] == "[":
            if text[-1] != "]":
                raise ValueError(f"line {number}: a list over several lines")
            return [self.scalar(number, item.strip()) for item in split_flow(text[1:-1])]
        if text[0] in "\"'":
            if len(text) < 2 or text[-1] != text[0] or text[0] in text[1:-1] or "\\" in text:
                raise ValueError(f"line {number}: quotes this reader does not know")
            return text[1:-1]
        if text[0] in "{}|>!%@&`" or ": " in text:
            raise ValueError(f"line {number}: not known to this reader: {text}")
        return {"true": True, "false": False, "null": None, "~": None}.get(text, text)


def strip_comment(line):
    """The line up to a `#` that begins a comment: at its start or after a space, and not within quotes."""
    quote = None
    for place, letter in enumerate(line):
        if quote:
            quote = None if letter == quote else quote
        elif letter in "\"'" and (place == 0 or line[place - 1] in " [,"):
            quote = letter
        elif letter == "#" and (place == 0 or line[place - 1] == " "):
            return line[:place]
    return line


def split_flow(text):
    """The items of a flow list; commas within quotes belong to their item."""
    return [item for item in re.findall(r"""\s*("[^"]*"|'[^']*'|[^,]+)""", text) if item.strip()]


# --- The checks -------------------------------------------------------------------------------------------------------


class Checks:
    def __init__(self):
        self.count = 0
        self.failures = []

    def that(self, holds, complaint):
        self.count += 1
        if not holds:
            self.failures.append(complaint)


def environment_example():
    """Every variable of .env.example, commented out or not, with its values in order."""
    variables = {}
    for line in read(".env.example").splitlines():
        match = re.match(r"(#?)([A-Z][A-Z0-9_]*)=(.*)$", line)
        if match:
            variables.setdefault(match[2], []).append((bool(match[1]), match[3]))
    return variables


def known_settings():
    """The variables of the flags, and the secrets, which have no flags."""
    secrets = re.search(r"const SECRETS_HELP: &str = (.*?);", read("runtime/src/settings.rs"), re.S)
    if not secrets:
        sys.exit("deploy/check.py: no SECRETS_HELP in runtime/src/settings.rs")
    known = set(re.findall(r"^  HULAK_(\w+)", secrets[1], re.M))
    for member in ("runtime", "api", "worker", "hulak"):
        for path in (ROOT / member / "src").rglob("*.rs"):
            known |= set(re.findall(r'\benv = "HULAK_(\w+)"', path.read_text(encoding="utf-8")))
    return known


def subcommands():
    """The subcommands of `hulak` (clap's `enum Role`)."""
    body = re.search(r"^enum Role \{(.*?)^\}", read("hulak/src/main.rs"), re.S | re.M)
    if not body:
        sys.exit("deploy/check.py: no enum Role in hulak/src/main.rs")
    return {role.lower() for role in re.findall(r"^    ([A-Z]\w*)\(", body[1], re.M)}


def used_variables(services):
    """What docker-compose.yml takes from .env: by name, and by keys without a value."""
    text = "\n".join(strip_comment(line) for line in read("docker-compose.yml").splitlines())
    used = {match[1] for match in VARIABLE.finditer(text)}
    for service in services.values():
        used |= {name for name, value in (service.get("environment") or {}).items() if value is None}
    return used


def check_settings(checks, services, example, known):
    used = used_variables(services)
    for name in sorted(used - example.keys()):
        checks.that(False, f".env.example says nothing of {name}, which docker-compose.yml uses")
    for name in sorted(example.keys() - used - COMPOSE_OWN):
        checks.that(False, f".env.example has {name}, which docker-compose.yml does not use")
    given = {name for service in services.values() for name in service.get("environment") or {}}
    given = {name.removeprefix("HULAK_") for name in given if name.startswith("HULAK_")}
    named = given | {name.removeprefix("HULAK_") for name in used | example.keys() if name.startswith("HULAK_")}
    for name in sorted(named):
        checks.that(name in known, f"no role reads HULAK_{name}")
    for name in sorted(known - NOT_IN_CONTAINERS):
        checks.that(name in given, f"docker-compose.yml hands HULAK_{name} to no container")


def check_secrets(checks, services, example):
    for name in sorted(SECRETS):
        values = example.get(name, [])
        checks.that(values == [(False, "")], f".env.example must have exactly one `{name}=`, and empty")
    lines = [strip_comment(line) for line in read("docker-compose.yml").splitlines()]
    for number, line in enumerate(lines, 1):
        for name, operator, complaint in VARIABLE.findall(line):
            if name in SECRETS:
                checks.that(operator == ":?", f"docker-compose.yml:{number}: {name} must be `:?`, without a default")
                # docker-compose 1.29 shows the complaint alone, after a wall of text.
                checks.that(name in complaint, f"docker-compose.yml:{number}: the complaint must name {name}")
        for password in re.findall(r"://[^/\s:@]*:([^/\s@]+)@", VARIABLE.sub("$", line)):
            checks.that(password == "$", f"docker-compose.yml:{number}: a password in the open")
    for service, settings in services.items():
        for name, value in (settings.get("environment") or {}).items():
            if re.search(r"PASS|SECRET|TOKEN|_KEY", name) and value is not None:
                literal = not VARIABLE.fullmatch(value)
                checks.that(not literal, f"docker-compose.yml: {service}: {name} is written out")


def check_command(checks, service, command, roles):
    program, *arguments = command if isinstance(command, list) else [None]
    checks.that(program == "hulak", f"docker-compose.yml: {service}: no program {program}")
    for argument in arguments:
        checks.that(argument in roles, f"docker-compose.yml: {service}: hulak has no command {argument}")


def check_services(checks, compose, roles):
    services = compose["services"]
    checks.that({"version", "name"}.isdisjoint(compose), "docker-compose.yml: no `version` (v2) and no `name` (1.29)")
    checks.that(list(services)[-1] == "simulator", "docker-compose.yml: the simulator comes last")
    builders = [name for name, service in services.items() if "build" in service]
    checks.that(builders == ["migrate"], "docker-compose.yml: migrate alone builds the image")
    for name, service in services.items():
        where = f"docker-compose.yml: {name}"
        checks.that(service.get("restart") == ("no" if name == "migrate" else "unless-stopped"), f"{where}: restart")
        checks.that("max-size" in service.get("logging", {}).get("options", {}), f"{where}: logs without a limit")
        checks.that("container_name" not in service, f"{where}: a fixed name keeps it from being scaled")
        checks.that("env_file" not in service, f"{where}: env_file would hand every secret to it")
        checks.that(re.search(r":(?!latest)", service.get("image", "")), f"{where}: an image without a tag")
        for port in service.get("ports", []):
            bound = re.fullmatch(r"\$\{PUBLISH_[A-Z]+:-127\.0\.0\.1:\d+\}:\d+", port)
            checks.that(bound, f"{where}: publish by a variable, on 127.0.0.1 unless told otherwise: {port}")
        waits = service.get("depends_on", {})
        conditions = [set(wait) == {"condition"} for wait in waits.values()]
        checks.that(all(conditions), f"{where}: depends_on has conditions only (1.29 knows nothing else)")
        health = service.get("healthcheck", {}).get("test")
        if name in OURS:
            check_command(checks, name, service.get("command"), roles)
            hardened = service.get("read_only") is True and service.get("cap_drop") == ["ALL"]
            checks.that(hardened, f"{where}: read_only and cap_drop")
            checks.that(service.get("stop_grace_period") == "20s", f"{where}: programs drain for 15 s")
            if health:
                checks.that(health[0] == "CMD", f"{where}: the image has no shell for its health check")
                check_command(checks, name, health[1:], roles)
        checks.that(health or name in ("migrate", "simulator"), f"{where}: no health check")
    for name in ("api", "worker"):
        wait = services[name].get("depends_on", {}).get("migrate", {})
        checks.that(
            wait.get("condition") == "service_completed_successfully", f"docker-compose.yml: {name} waits for migrate"
        )
    checks.that("ports" not in services["worker"], "docker-compose.yml: a worker's port keeps it from being scaled")
    checks.that(services["rabbitmq"].get("hostname"), "docker-compose.yml: rabbitmq: its data go by its hostname")
    checks.that(services["simulator"].get("profiles") == ["simulator"], "docker-compose.yml: simulator: its profile")


def check_image(checks, workspace, members):
    instructions = re.sub(r"\\\n", " ", re.sub(r"^\s*#.*\n", "", read("deploy/Dockerfile"), flags=re.M)).splitlines()
    copied = [line.split()[1:] for line in instructions if line.startswith("COPY ")]
    sources = {source for words in copied for source in words[:-1] if not source.startswith("--")}
    let_in = {line[1:] for line in read(".dockerignore").splitlines() if line.startswith("!")}
    for member in members:
        checks.that(f"{member}/Cargo.toml" in sources, f"deploy/Dockerfile: {member}/Cargo.toml is not copied")
        checks.that(f"{member}/" in sources, f"deploy/Dockerfile: {member}/ is not copied")
    for source in sources:
        inside = source.startswith("/stage/") or source in let_in or f"{source.split('/')[0]}/" in let_in
        checks.that(inside, f".dockerignore keeps out {source}, which deploy/Dockerfile copies")
        checks.that(source.startswith("/stage/") or (ROOT / source).exists(), f"deploy/Dockerfile: no {source}")
    builds = [line.split("cargo clean")[0] for line in instructions if "cargo build" in line]
    builds = [re.findall(r" -p ([\w-]+)", line) for line in builds]
    checks.that(builds == [["hulak"], ["hulak"]], "deploy/Dockerfile: both builds name the package hulak alone")
    staged = re.findall(r"target/release/([\w-]+)", read("deploy/Dockerfile"))
    checks.that(staged == ["hulak"], "deploy/Dockerfile: hulak is not in the image")
    stages = [line.split()[1] for line in instructions if line.startswith("FROM ")]
    version = workspace["workspace"]["package"]["rust-version"]
    checks.that(stages[0].startswith(f"rust:{version}-"), f"deploy/Dockerfile: the builder is not rust:{version}")
    users = [line.split()[1] for line in instructions if line.startswith("USER ")]
    checks.that(users == ["10001:10001"], "deploy/Dockerfile: must run as 10001:10001")
    check_embedded(checks, members, sources)


def check_embedded(checks, members, sources):
    """Files that are read while compiling have to be in the builder as well."""
    pattern = re.compile(r'(include_str|include_bytes|migrate)!\(\s*"([^"]+)"')
    for member in members:
        for path in sorted((ROOT / member / "src").rglob("*.rs")):
            for macro, target in pattern.findall(path.read_text(encoding="utf-8")):
                base = ROOT / member if macro == "migrate" else path.parent
                needed = (base / target).resolve().relative_to(ROOT).as_posix()
                there = needed in sources or f"{needed.split('/')[0]}/" in sources
                checks.that(there, f"deploy/Dockerfile: {needed}, which {path.relative_to(ROOT)} embeds, is not copied")


def known_metrics():
    """The names in the catalogue, with those of a histogram's parts."""
    entries = re.findall(r'Kind::(\w+)(?:\([A-Z]+\))?,\s*"(hulak_\w+)"', read("runtime/src/metrics/catalogue.rs"))
    names = {name for kind, name in entries if kind != "Histogram"}
    return names | {f"{name}_{part}" for kind, name in entries if kind == "Histogram" for part in ("bucket", "sum", "count")}


def queries(node):
    """Every query of a dashboard."""
    if isinstance(node, dict):
        return ([node["expr"]] if "expr" in node else []) + [query for value in node.values() for query in queries(value)]
    return [query for value in node for query in queries(value)] if isinstance(node, list) else []


def check_monitoring(checks, services):
    metrics = known_metrics()
    checks.that(len(metrics) > 30, "runtime/src/metrics/catalogue.rs: its metrics were not found")
    texts = {"deploy/prometheus/alerts.yml": read("deploy/prometheus/alerts.yml")}
    dashboards = sorted((ROOT / "deploy/grafana/dashboards").glob("*.json"))
    checks.that(len(dashboards) == 2, "deploy/grafana/dashboards: there are two")
    for path in dashboards:
        board = json.loads(path.read_text(encoding="utf-8"))
        where = path.relative_to(ROOT).as_posix()
        texts[where] = "\n".join(queries(board))
        sources = {panel["datasource"]["uid"] for panel in board["panels"] if "datasource" in panel}
        checks.that(sources == {"prometheus"}, f"{where}: panels ask the provisioned data source")
        ids = [panel["id"] for panel in board["panels"]]
        checks.that(len(ids) == len(set(ids)) and board["uid"], f"{where}: ids are unique")
    used = set()
    for where, text in texts.items():
        names = set(re.findall(r"\bhulak_\w+", text))
        used |= names
        checks.that(names, f"{where}: uses no metric")
        for name in sorted(names - metrics):
            checks.that(False, f"{where}: no program exports {name} (runtime/src/metrics/catalogue.rs)")
    for name in sorted(metrics):
        shown = name in used or re.sub(r"_(sum|count)$", "_bucket", name) in used
        checks.that(shown, f"{name} is in no dashboard and no alert")
    for name in ("prometheus", "grafana"):
        checks.that(services[name].get("profiles") == ["monitoring"], f"docker-compose.yml: {name}: its profile")
        for volume in services[name]["volumes"]:
            source = volume.split(":")[0]
            there = (ROOT / source).exists() if source.startswith("./") else source == f"{name}-data"
            checks.that(there, f"docker-compose.yml: {name}: no {source}")
    config = read("deploy/prometheus/prometheus.yml")
    for name, port in (("api", "9090"), ("worker", "9091")):
        address = services[name]["environment"]["HULAK_ADMIN_ADDR"]
        checks.that(address.endswith(f":{port}"), f"docker-compose.yml: {name}: Prometheus asks at {port}")
        found = re.search(rf"names: \[{name}\]\s+type: A\s+port: {port}\b", config)
        checks.that(found, f"deploy/prometheus/prometheus.yml: {name} at {port}")


def main():
    checks = Checks()
    workspace = tomllib.loads(read("Cargo.toml"))
    members = workspace["workspace"]["members"]
    try:
        compose = Yaml(read("docker-compose.yml")).document()
    except ValueError as error:
        sys.exit(f"deploy/check.py: docker-compose.yml: {error}")
    example = environment_example()
    check_settings(checks, compose["services"], example, known_settings())
    check_secrets(checks, compose["services"], example)
    check_services(checks, compose, subcommands())
    check_image(checks, workspace, members)
    check_monitoring(checks, compose["services"])
    for failure in checks.failures:
        print(f"deploy/check.py: {failure}", file=sys.stderr)
    if checks.failures:
        sys.exit(1)
    print(f"deploy: {checks.count} checks passed")


if __name__ == "__main__":
    main()
