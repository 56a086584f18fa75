"""Dress a filled template as a log line: bare, JSON, key=value, CEF, syslog, cloud event."""

import json
import re

import slots
from slots import SLOTS

FIELD = re.compile(r"""([^\s="']+)=("[^"]*"|'[^']*'|(?:\S*))""")
EVENT_KEYS = "kind event evt action op type name event_type eventType eventName activity operation topic what msg act event.name msgid code".split()
SCOPE_KEYS = "category facility mod module app svc service source topic domain component area subsystem kind type class entity".split()
OUTCOME_KEYS = "status state outcome result verdict action op verb event evt finding name what phase".split()
TEXT_KEYS = "msg message text txt detail details description note log summary event info state body remark finding what content title reason_text comment line".split()
LEVEL_KEYS = "level lvl severity sev log_level loglevel priority prio".split()
USER_KEYS = "user actor who subject principal usr username by login uid userName performed_by initiator operator account".split()
IP_KEYS = "ip src source origin addr client_ip clientIp remote rip from_ip sourceIPAddress remote_addr ip_address".split()
TIME_KEYS = "ts time timestamp at when eventTime created_at @timestamp date t occurred_at logged_at published".split()
NESTS = "data details payload context meta params attributes properties body object info fields extra request resource".split()
CALM = ["info", "INFO", "I", "notice", "debug", "6", "Informational", "low", "5", "INF", "DEBUG", "normal", "trace"]
LOUD = ["warn", "WARN", "WARNING", "error", "ERROR", "E", "critical", "W", "3", "high", "ERR", "FATAL", "alert", "crit", "severe", "emerg", "2", "major"]
PROGRAMS = "app api server backend audit auditd erp crm hr-app worker node java python portal gateway shop eventlog journal daemon".split()
FRAMES = [
    "at com.acme.{word}.{cap}Service.{verb}({cap}Service.java:{n})", "at org.springframework.web.servlet.FrameworkServlet.service(FrameworkServlet.java:897)",
    "at {verb}{cap} (/srv/app/src/{word}.js:{n}:{n})", "at async Router.{verb} (node:internal/{word}:{n}:{n})", 'File "/srv/app/{word}/{word}.py", line {n}, in {verb}_{word}',
    "main.{verb}{cap}(0xc000{hex}) /go/src/{word}/{word}.go:{n} +0x{n}", "at {cap}.{verb}() in C:\\src\\{cap}.cs:line {n}", "#{n} 0x0000{hex} in {word}_{verb} ({word}.c:{n})",
    "at java.base/java.lang.Thread.run(Thread.java:840)", "{n}: {word}::{word}::{verb} at ./src/{word}.rs:{n}",
]  # fmt: skip
VERBS = "get load handle apply read write run call invoke map filter send post fetch parse render update process next dispatch".split()


def extras(rng):
    """Neutral fields, which say nothing about the label."""
    pool = [
        (rng.choice(TIME_KEYS), slots.stamp), (rng.choice(USER_KEYS), slots.user), (rng.choice(IP_KEYS), slots.ip), (rng.choice(["host", "hostname", "node", "server"]), slots.host),
        (rng.choice(["service", "svc", "app", "application", "source", "logger", "component"]), slots.service), (rng.choice(["request_id", "requestId", "req", "trace_id", "traceId", "correlation_id", "rid", "span"]), slots.hexes),
        (rng.choice(["id", "event_id", "eventID", "uuid", "insertId"]), slots.uuid), (rng.choice(["session", "sid", "session_id"]), slots.hexes), (rng.choice(["env", "environment", "stage"]), lambda r: r.choice(["prod", "production", "staging", "dev", "test"])),
        (rng.choice(["region", "awsRegion", "zone", "location"]), SLOTS["region"]), (rng.choice(["tenant", "org", "customer", "tenant_id", "workspace"]), lambda r: r.choice([slots.ident(r), r.choice(slots.COMPANIES)])),
        (rng.choice(["version", "v", "schema", "ver"]), slots.version), (rng.choice(["pid", "tid", "thread", "seq", "line"]), SLOTS["pid"]), (rng.choice(["ref", "entity_id", "object_id", "record", "key"]), slots.ident),
        (rng.choice(["lang", "locale", "tz"]), lambda r: r.choice(["en", "de-DE", "en-US", "fr", "UTC", "Europe/Berlin"])), (rng.choice(["userAgent", "ua", "agent", "client"]), lambda r: r.choice(slots.BROWSERS + ["Mozilla/5.0", "okhttp/4.9", "aws-cli/2.13", "python-requests/2.31"])),
        (rng.choice(["channel", "via", "medium"]), lambda r: r.choice(["web", "mobile", "api", "console", "batch", "pos"])), (rng.choice(["device", "terminal", "device_id"]), SLOTS["device"]), (rng.choice(["duration_ms", "took", "elapsed_ms", "latency_ms"]), SLOTS["n"]),
        (rng.choice(["dept", "department", "team", "unit"]), SLOTS["dept"]), (rng.choice(["city", "site", "branch", "office"]), SLOTS["city"]),
    ]  # fmt: skip
    count = rng.choice([0, 0, 1, 1, 1, 2, 2, 3, 4])
    return [(key, value(rng)) for key, value in rng.sample(pool, count)]


def level(rng, label):
    """A level field, or none; often neutral, so that the text decides."""
    if rng.random() < 0.72:
        return []
    calm = rng.random() < (0.35 if label else 0.94)
    return [(rng.choice(LEVEL_KEYS), rng.choice(CALM[:2] * 4 + CALM if calm else LOUD))]


def respell(word, rng):
    """The same name in another convention: a.b_c, aBC, ABC, a-b-c, `a b c`."""
    parts = [part for part in re.split(r"[._\-\s/:]+|(?<=[a-z])(?=[A-Z])", word) if part]
    if len(parts) < 2 and rng.random() < 0.5:
        return rng.choice([word, word.upper(), word.capitalize(), word.lower()])
    if not re.fullmatch(r"[\w.\-\s/:]+", word):
        return word
    return rng.choice(
        [
            "_".join(parts).lower(), "_".join(parts).upper(), ".".join(parts).lower(), "-".join(parts).lower(), "".join(p.capitalize() for p in parts),
            parts[0].lower() + "".join(p.capitalize() for p in parts[1:]), " ".join(parts), " ".join(parts).capitalize(), ":".join(parts).lower(),
        ]
    )  # fmt: skip


def split_fields(text):
    """`name k=v k="v w"` -> (name, [(k, v), ...]); None when the text is no record."""
    first = FIELD.search(text)
    if not first:
        return None
    head, rest = text[: first.start()].strip(), text[first.start() :]
    if FIELD.sub("", rest).strip() or len(head.split()) > 3:
        return None
    return head, [(key, value.strip("\"'") if value[:1] in "\"'" else value) for key, value in FIELD.findall(rest)]


def typed(value, rng):
    """A JSON value: numbers and booleans mostly as such."""
    if rng.random() < 0.85:
        if re.fullmatch(r"-?(0|[1-9]\d{0,14})", value):
            return int(value)
        if re.fullmatch(r"-?\d{1,9}\.\d{1,6}", value):
            return float(value)
        if value.lower() in ("true", "false"):
            return value.lower() == "true"
        if value.lower() in ("null", "none") and rng.random() < 0.3:
            return None
    return value


def dump(tree, rng):
    text = json.dumps(tree, ensure_ascii=rng.random() < 0.1, separators=rng.choice([(",", ":"), (",", ":"), (", ", ": ")]))
    return text


def as_json(fields, rng, dotted=False):
    """Fields as one JSON object; dotted names nest when `dotted`."""
    tree = {}
    for key, value in fields:
        value = typed(value, rng)
        if not dotted or "." not in key:
            tree[key] = value
            continue
        here, parts = tree, key.split(".")
        for part in parts[:-1]:
            here = here.setdefault(part, {})
            if not isinstance(here, dict):
                break
        if isinstance(here, dict):
            here[parts[-1]] = value
        else:
            tree[key] = value
    return dump(tree, rng)


def quoted(value, rng, quote='"'):
    if re.search(r"[\s=]", value) or value == "":
        return quote + value.replace(quote, "'" if quote == '"' else '"') + quote
    return value


def as_pairs(fields, rng):
    """Fields as key=value text in one of several conventions."""
    style = rng.random()
    if style < 0.72:
        return " ".join(f"{k}={quoted(v, rng)}" for k, v in fields)
    if style < 0.78:
        return " ".join(f'{k}="{v}"' for k, v in fields)
    if style < 0.84:
        return " ".join(f"{k}={quoted(v, rng, chr(39))}" for k, v in fields)
    if style < 0.89:
        return ", ".join(f"{k}={v}" for k, v in fields)
    if style < 0.93:
        return rng.choice([", ", " ", "; "]).join(f"{k}: {v}" for k, v in fields)
    if style < 0.96:
        return rng.choice(["|", " | ", ";", "; "]).join(f"{k}={v}" for k, v in fields)
    return " ".join(f"{k}:{quoted(v, rng)}" for k, v in fields)


def as_cef(title, fields, rng, label):
    severity = rng.randint(0, 5) if not label else rng.randint(1, 10)
    vendor, product = rng.choice(["Acme", "Contoso", "Globex", "Initech", "Vela"]), rng.choice(["ERP", "CRM", "Portal", "Gate", "Audit", "IAM", "Mail"])
    body = " ".join(f"{k}={v}" for k, v in fields)
    if rng.random() < 0.85:
        return f"CEF:0|{vendor}|{product}|{rng.randint(1, 9)}.{rng.randint(0, 9)}|{rng.randint(1, 9999)}|{title}|{severity}|{body}"
    return f"LEEF:1.0|{vendor}|{product}|{rng.randint(1, 9)}.0|{title}|{body}"


def event_fields(event, rng):
    """The event's name as one or two fields: `event=a.b.c`, or `mod=a.b verb=c`."""
    if not event:
        return []
    parts = re.split(r"[._:]+|(?<=[a-z])(?=[A-Z])", event)
    roll = rng.random()
    if len(parts) > 1 and roll < 0.22:
        cut = rng.choice([1, len(parts) - 1])
        return [(rng.choice(SCOPE_KEYS), "_".join(parts[:cut])), (rng.choice(OUTCOME_KEYS), respell(".".join(parts[cut:]), rng))]
    return [(rng.choice(EVENT_KEYS), respell(event, rng) if rng.random() < 0.6 else event)]


def unique(fields):
    seen = {}
    for key, value in fields:
        seen.setdefault(key, value)
    return list(seen.items())


def rename(fields, rng):
    """Other words for common keys, other spellings for the rest."""
    out = []
    style = rng.random()
    for key, value in fields:
        if key in ("user", "actor", "who", "usr") and rng.random() < 0.6:
            key = rng.choice(USER_KEYS)
        elif key in ("ip", "src", "src_ip") and rng.random() < 0.6:
            key = rng.choice(IP_KEYS)
        elif key in ("outcome", "result", "status", "state", "verdict") and rng.random() < 0.4:
            key = rng.choice(["outcome", "result", "status", "state", "verdict"])
        elif key in ("reason", "cause", "detail", "why") and rng.random() < 0.4:
            key = rng.choice(["reason", "cause", "detail", "why", "err", "info", "note"])
        if style < 0.15:
            parts = key.split("_")
            key = parts[0] + "".join(p.capitalize() for p in parts[1:])
        elif style < 0.25:
            key = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", key).lower()
        out.append((key, value))
    return out


def render_record(text, label, rng):
    """An event name and fields, as key=value or JSON."""
    split = split_fields(text)
    if not split:
        return render_sentence(text, label, rng)
    event, fields = split
    roll = rng.random()
    if roll < 0.12:
        return text
    fields = rename(fields, rng)
    if rng.random() < 0.1 and all(re.fullmatch(r"[\w\-]+", k) for k, _ in fields) and event:
        head = respell(event, rng)
        return rng.choice([f"{head} {as_pairs(fields, rng)}", f"[{head}] {as_pairs(fields, rng)}", f"{head}: {as_pairs(fields, rng)}", f"{head} {as_json(fields, rng)}"])
    named, more = event_fields(event, rng), extras(rng)
    if rng.random() < 0.08:
        return as_cef(respell(event or "event", rng), rename(fields + more, rng), rng, label)
    parts = level(rng, label) + named + fields if rng.random() < 0.6 else named + fields + level(rng, label)
    cut = rng.randint(0, len(more))
    everything = more[:cut] + parts + more[cut:]
    if rng.random() < 0.15:
        rng.shuffle(everything)
    everything = unique(everything)
    if rng.random() < 0.5:
        return as_pairs(everything, rng)
    if rng.random() < 0.3:
        nest = rng.choice(NESTS)
        inner = {k for k, _ in fields}
        everything = [(f"{nest}.{k}" if k in inner and "." not in k else k, v) for k, v in everything]
    return as_json(everything, rng, dotted=True)


def render_cloud(text, label, rng):
    """Dotted fields as trimmed JSON, key=value or a summary."""
    split = split_fields(text)
    if not split:
        return render_sentence(text, label, rng, bare=0.85)
    event, fields = split
    if rng.random() < 0.06:
        return text
    named = [(rng.choice(["event", "type", "action", "eventName", "detail-type", "operationName", "event_type"]), event)] if event else []
    more = []
    if rng.random() < 0.5:
        more = [
            (rng.choice(["eventTime", "time", "timestamp", "published", "@timestamp", "created_at"]), slots.stamp(rng)), ("awsRegion", rng.choice(slots.REGIONS)), ("recipientAccountId", slots.account(rng)),
            ("sourceIPAddress", slots.ip(rng)), ("userAgent", rng.choice(["aws-cli/2.13", "console.amazonaws.com", "Boto3/1.28", "Mozilla/5.0", "terraform/1.6"])), ("eventVersion", "1.08"), ("userIdentity.userName", slots.user(rng)),
            ("userIdentity.arn", slots.arn(rng)), ("requestID", slots.uuid(rng)), ("eventID", slots.uuid(rng)), ("actor.email", slots.email(rng)), ("actor.alternateId", slots.email(rng)), ("protoPayload.authenticationInfo.principalEmail", slots.email(rng)),
            ("org", rng.choice(slots.WORDS)), ("resource.labels.project_id", SLOTS["project"](rng)), ("user.username", slots.user(rng)), ("callerIpAddress", slots.ip(rng)), ("eventType", "AwsApiCall"), ("severity", "INFO"), ("eventSource", "aws.example"),
        ]  # fmt: skip
        more = rng.sample(more, rng.choice([1, 1, 2, 3, 4]))
    everything = named + fields
    if rng.random() < 0.25:
        rng.shuffle(everything)
    cut = rng.randint(0, len(more))
    everything = unique(more[:cut] + everything + more[cut:])
    roll = rng.random()
    if roll < 0.62:
        return as_json(everything, rng, dotted=True)
    if roll < 0.78:
        return as_pairs(everything, rng)
    if roll < 0.9:
        # A flattened summary: values only, or with last key parts where a value alone says little.
        words = []
        for key, value in named + fields:
            last = key.split(".")[-1]
            telling = re.fullmatch(r"(?i)true|false|\d+|null|none|on|off|enabled|disabled|\*|-", value)
            words.append(f"{last}={value}" if telling or rng.random() < 0.3 else value)
        return " ".join(words)
    nest = rng.choice(["detail", "protoPayload", "data", "properties", "event", "Record", "p"])
    return as_json([(f"{nest}.{k}", v) for k, v in everything], rng, dotted=True)


def render_syslog(text, label, rng):
    """`program: message` behind one of several prefixes."""
    program, _, message = text.partition(": ")
    if rng.random() < 0.3 and "[" not in program and program not in ("kernel", "audit"):
        program = f"{program}[{rng.randint(1, 65_000)}]"
    if program == "kernel" and rng.random() < 0.5:
        message = f"[{rng.randint(0, 999_999)}.{rng.randint(0, 999_999):06d}] {message}"
    return prefix(rng) + f"{program}: {message}"


def prefix(rng):
    """Timestamp and host as a syslog line has them; sometimes nothing."""
    t = slots.moment(rng)
    host = slots.host(rng)
    bsd = t.strftime("%b ") + f"{t.day:2d}" + t.strftime(" %H:%M:%S")
    roll = rng.random()
    if roll < 0.45:
        return f"{bsd} {host} "
    if roll < 0.68:
        return t.strftime("%Y-%m-%dT%H:%M:%S") + rng.choice(["+00:00", "Z", "+02:00", f".{rng.randrange(10**6):06d}+00:00", "-0500"]) + f" {host} "
    if roll < 0.73:
        return f"<{rng.randint(1, 190)}>{bsd} {host} "
    if roll < 0.76:
        return f"<{rng.randint(1, 190)}>1 {t.strftime('%Y-%m-%dT%H:%M:%SZ')} {host} "
    if roll < 0.8:
        return t.strftime("%Y-%m-%d %H:%M:%S ") + rng.choice(["", host + " "])
    return ""


def typeset(text, rng):
    """A sentence with or without its full stop, in varied case."""
    roll = rng.random()
    if roll < 0.15 and text[-1:].isalnum():
        text += "."
    elif roll < 0.2:
        text = text.lower()
    elif roll < 0.22:
        text = text.upper()
    elif roll < 0.25:
        text = f"{rng.choice([slots.user, slots.ident, slots.stamp, slots.host, slots.service, slots.date])(rng)}: {text}"
    elif roll < 0.27:
        text = f"{text} ({rng.choice([slots.ident, slots.user, slots.ip, slots.date, slots.uuid])(rng)})"
    elif roll < 0.285:
        text = f"[{rng.choice([slots.stamp, slots.ident, slots.service])(rng)}] {text}"
    return text


def render_sentence(text, label, rng, bare=0.66):
    """A sentence, mostly bare, sometimes as the message of a structured line."""
    roll = rng.random()
    if roll < bare:
        return typeset(text, rng)
    rest = (roll - bare) / (1 - bare)
    if rest < 0.2:
        program = rng.choice([rng.choice(PROGRAMS), slots.service(rng)])
        tag = rng.choice(["", "", rng.choice(["INFO ", "[info] ", "notice: "]) if not label or rng.random() < 0.4 else rng.choice(["WARN ", "ERROR ", "[error] ", "warning: "])])
        return f"{prefix(rng)}{program}{rng.choice(['', f'[{rng.randint(1, 65_000)}]'])}: {tag}{text}"
    if rest < 0.26:
        stamp = slots.moment(rng).strftime(rng.choice(["%Y-%m-%d %H:%M:%S,123", "%Y-%m-%dT%H:%M:%SZ", "%H:%M:%S.456", "[%Y-%m-%d %H:%M:%S]", "%Y/%m/%d %H:%M:%S"]))
        severity = rng.choice(["INFO", "DEBUG", "INFO ", "info"]) if not label or rng.random() < 0.45 else rng.choice(["WARN", "ERROR", "FATAL", "error", "WARNING"])
        source = rng.choice([f"[{slots.service(rng)}]", f"c.a.{rng.choice(slots.WORDS)}.{rng.choice(slots.WORDS).title()}", slots.service(rng), f"[main] {rng.choice(slots.WORDS)}", ""])
        return f"{stamp} {severity} {source} {rng.choice(['- ', ': ', ''])}{text}"
    message = [(rng.choice(TEXT_KEYS), text)]
    if rng.random() < 0.25:
        message = [(rng.choice(SCOPE_KEYS), rng.choice([rng.choice(slots.DEPTS), rng.choice(slots.SERVICES), rng.choice(["audit", "system", "business", "app", "log", "record"])])), *message]
    more, severity = extras(rng), level(rng, label)
    cut = rng.randint(0, len(more))
    everything = unique(severity + more[:cut] + message + more[cut:] if rng.random() < 0.7 else more[:cut] + message + severity + more[cut:])
    if rest < 0.62:
        if rng.random() < 0.15:
            nest = rng.choice(NESTS)
            everything = [(f"{nest}.{k}", v) if (k, v) in message else (k, v) for k, v in everything]
        return as_json(everything, rng, dotted=True)
    if rest < 0.97:
        return as_pairs(everything, rng)
    return as_cef(text, more, rng, label)


def frame(rng):
    """One line of a stack trace."""
    text = rng.choice(FRAMES)
    while "{" in text:
        text = re.sub(r"\{(\w+)\}", lambda m: {"cap": lambda: rng.choice(slots.WORDS).title(), "verb": lambda: rng.choice(VERBS), "n": lambda: str(rng.randint(1, 900)), "hex": lambda: slots.hexes(rng, 6), "word": lambda: rng.choice(slots.WORDS)}[m[1]](), text, count=1)
    return text


RENDERERS = {"sentence": render_sentence, "trap": render_sentence, "record": render_record, "cloud": render_cloud, "syslog": render_syslog, "raw": lambda text, label, rng: text}
