"""Random values for the slots of templates. Every value may stand in a routine line and in an anomalous one."""

import datetime
import ipaddress
import string

FIRST = """Aaliyah Abdullah Abena Adaeze Adam Aditi Agnes Ahmed Aiko Akira Alejandro Alice Amara Amina Ana Anders Andrea Anika Anjali
Anna Anton Aoife Arjun Astrid Ayesha Beatriz Ben Bilal Björn Bogdan Brigitte Camila Carlos Carmen Chen Chiara Chidi Chloe Clara Daniel
Darius David Deepa Diego Dmitri Ebru Eduardo Elena Elif Emeka Emil Emma Eric Esther Eva Fatima Felix Femi Finn Florence Francesca Frank
Freya Gabriel Georgi Giulia Grace Greta Hana Hannah Hans Haruto Hassan Hector Helen Henrik Hiroshi Hugo Ibrahim Ida Igor Imani Ines
Ingrid Irina Isaac Isabel Ivan Ivy Jack Jakub James Jana Javier Jean Jiho Jing João Jonas Jorge Josefin Julia Kamala Karim Karl Kasia
Katarina Kavya Kenji Khadija Kofi Krzysztof Kwame Lakshmi Lars Laura Layla Lena Leo Liam Lina Linh Luca Lucia Luis Magda Mai Malik Marek
Maria Mark Marta Mateo Maya Mehmet Mei Mia Miguel Milan Min Mohamed Monika Nadia Naomi Natalia Ngozi Nia Nikolai Nina Noah Nora Olga
Oliver Olivia Omar Oscar Pablo Paula Paulo Pavel Pedro Peter Petra Pierre Priya Quentin Rachel Rafael Rahul Rania Ravi Rebecca Renata Rosa
Ruth Ryan Sakura Salma Samir Samuel Sandra Sara Sergei Shira Siddharth Simon Siobhan Sofia Sota Stefan Sunita Sven Tariq Tatiana Tendai
Teresa Thabo Theo Thomas Tomas Tunde Uma Valentina Vera Victor Vikram Viktoria Wanjiru Wei William Xin Yara Yasmin Yuki Yusuf Zainab Zara
Zofia Zoltan""".split()
LAST = """Abara Acheampong Adeyemi Ahmad Akhtar Ali Almeida Alvarez Andersson Ansah Aoki Appiah Banerjee Bauer Becker Bello Berg Bianchi
Boateng Borg Brown Carter Castro Chan Chang Chaudhry Chen Choi Cohen Cole Conti Costa Cruz Dahl Das Davis Delgado Dias Diaz Dogan Dubois
Duarte Dvorak Edwards Eriksson Espinoza Evans Fernandes Ferrari Fischer Flores Fofana Fournier Fraser Fujita Garcia Georgiou Ghosh Gomez
Gonzalez Greco Green Gruber Gupta Gustafsson Haddad Haile Hall Hansen Harris Hasegawa Hoffmann Horvat Huang Hughes Hussain Ibrahim Ito
Ivanova Jackson Jain Jansen Jensen Johansson Jones Kamau Kapoor Kaya Keller Khan Kim King Kimura Kovacs Kowalski Kozlov Kruger Kumar Lam
Larsen Laurent Le Lee Lehmann Leroy Levi Lewis Li Lim Lindqvist Liu Lopez Lund MacDonald Maier Malik Mancini Marino Martin Martinez Mbeki
Medina Mehta Mendes Meyer Mitchell Mohamed Molina Moore Morales Moreau Mori Mueller Murphy Mwangi Nagy Nair Nakamura Ncube Nguyen Nielsen
Nikolaidis Nowak Nunez O'Brien Obi Ogawa Okafor Okoye Oliveira Olsen Omondi Ortiz Osei Owusu Ozturk Park Patel Pereira Perez Petrov Pham
Popescu Price Qureshi Rahman Ramirez Ramos Rao Reyes Ricci Richter Rivera Roberts Rodriguez Romano Rossi Roux Ruiz Saito Salazar Sanchez
Santos Sato Schmidt Schneider Schwarz Scott Sharma Shah Shapiro Silva Singh Smith Sokolov Song Sousa Stein Suzuki Svensson Takahashi Tanaka
Taylor Teixeira Thompson Torres Tran Tremblay Turner Ueda Vargas Vasquez Verma Vieira Virtanen Volkov Wagner Walker Wang Watanabe Weber
White Williams Wilson Wong Wright Wu Yamamoto Yang Yilmaz Young Yusuf Zhang Zhao Zhou Zimmermann""".split()
WORDS = """agenda album anchor apple apron archive article atlas badge bakery balance balcony banner barrel basket beacon bench bicycle
binder blanket blossom blueprint boat book bottle bowl branch breeze brick bridge brochure brush bucket button cabin cabinet cable calendar
camera candle canvas carpet cart catalogue cedar chair chapter chart circle clock cloud coast coffee column comet compass contact copper
coral corner cotton counter cover crate crystal cup curtain cushion daisy dashboard deck desk diagram diary directory document dolphin door
drawer easel edition engine envelope event fabric falcon feather field figure filter flag floor flower folder forest form forum fountain
frame gallery garden gate glass globe guide hall handbook harbour hill index invoice island jacket journal juniper kettle kitchen ladder
lamp lantern layout ledger lemon letter library lily list logo maple map marble meadow measure meeting menu message meter mirror monitor
moon mountain mug museum needle note notebook ocean office olive orchard order outline oven package page paint panel paper parcel park
path pearl pebble pencil phone photo piano picture pillar pine pipe plan planet plate playlist pocket poem pond portal portrait poster
profile quartz quilt rack radio rain receipt record recipe region report ribbon river road roof room rope rose route ruler saddle sail
sample schedule school screen section sensor shelf ship shirt shop signal sketch sky snapshot sofa song spoon spring square stage stair
stamp star station stone story street studio summary survey table tag template tent text ticket tile timer title tower toy track trail train
tray tree tulip tunnel vase video village violin visit wagon wall water wave wheel willow window winter wood yard zebra""".split()
DOMAINS = """example.com example.org example.net corp.example shop.example acme.io contoso.com fabrikam.com initech.biz globex.net
northwind.example umbra.dev mail.example gmail.com outlook.com yahoo.com proton.me company.com nordbank.example medico.example
uni.edu.example city.gov.example freight.example web.example cdn.example bluewave.co greenfield.co.uk lumen.de sakura.co.jp""".split()
COMPANIES = """Acme|Contoso|Globex|Initech|Northwind Traders|Umbra Labs|Stark & Sons|Blue Wave|Nordbank|Helios Energy|Tanaka Logistics|
Greenfield Foods|Lumen GmbH|Sakura KK|Rossi SpA|Fabrikam|Wayfare Travel|Orchard Health|Quayside Freight|Baltic Timber|Delta Paper|
Kestrel Air|Pampa Agro|Savanna Telecom|Iron Bridge Steel|Harbour Insurance|Clearwater Utilities|Maple Leaf Retail|Andes Mining|
Monsoon Textiles|Vela Robotics|Granite Bank|Polar Fisheries|Sunrise Bakery|Atlas Couriers|Mosaic Media""".replace("\n", "").split("|")
PRODUCTS = """laptop stand|coffee beans|office chair|winter jacket|toner cartridge|garden hose|running shoes|olive oil|desk lamp|phone case|
baby monitor|bath towel|mountain bike|cordless drill|dog food|espresso machine|protein bar|paint roller|school bag|water filter|
wireless mouse|yoga mat|gift card|board game|air purifier|solar panel|hearing aid|blood pressure monitor|car tyre|wine glass set|
printer paper|vitamin tablets|steel bolts|bed frame|headphones""".replace("\n", "").split("|")
DEPTS = """finance|sales|marketing|HR|legal|engineering|support|logistics|procurement|operations|IT|research|payroll|treasury|facilities|
customer care|quality|production|compliance|security|radiology|admissions|warehouse|accounts payable|data science""".replace("\n", "").split("|")
ROLES = """analyst|admin|viewer|editor|auditor|manager|developer|operator|accountant|clerk|nurse|teacher|owner|guest|supervisor|engineer|
approver|billing|support agent|contractor|intern|team lead|dispatcher|cashier|moderator|data steward|planner|reader""".replace("\n", "").split("|")
COUNTRIES = """Germany|France|Brazil|India|Japan|Kenya|Nigeria|Canada|Mexico|Poland|Sweden|Italy|Spain|Vietnam|Indonesia|Egypt|Turkey|Chile|
Romania|Ukraine|Russia|China|South Korea|Australia|Portugal|Ghana|Norway|Ireland|Thailand|Peru|Morocco|Iceland|Iran|Bulgaria|US|UK|NL|SG|CH""".replace("\n", "").split("|")
CITIES = """Berlin|Lagos|Nairobi|Mumbai|Osaka|Lima|Toronto|Lyon|Porto|Kraków|Hamburg|Oslo|Dublin|Madrid|Milan|Austin|Chicago|Boston|Seattle|
Denver|Santiago|Bogotá|Cairo|Istanbul|Athens|Vienna|Prague|Sofia|Minsk|Kyiv|Moscow|Shanghai|Shenzhen|Hanoi|Jakarta|Manila|Sydney|Perth|
Cape Town|Accra|Casablanca|Dubai|Karachi|Dhaka|Reykjavik|Helsinki""".replace("\n", "").split("|")
DEVICES = """iPhone 14|Pixel 8|ThinkPad X1|MacBook Air|Surface Pro|Galaxy S23|iPad|Zebra TC52|PAX A920|Raspberry Pi|POS-17|kiosk-4|printer-2f|
cam-12|sensor-88|router-3|gateway-7|LAPTOP-4F2K|WS-0231|tablet-9|badge reader 3|forklift-6|scanner-21|meter-5512|thermostat-4""".replace("\n", "").split("|")
BROWSERS = ["Chrome", "Firefox", "Safari", "Edge", "Chrome 118", "Firefox 121", "Opera", "Samsung Internet", "CHROME", "Edge 120", "curl/8.4"]
SERVICES = """billing auth orders payments search catalog inventory notification user profile report export import gateway session ledger pricing
shipping checkout email sms fraud media image chat booking claims loan payroll identity config scheduler webhook cart tax audit sync quotes
recommendation telemetry subscription refund customer geo feed wallet""".split()
KINDS = ["api", "service", "svc", "worker", "srv", "backend", "gateway", "db", "app", "job", "engine", "web"]
HOSTS = """web app db cache mail mx files api edge node worker build ci gw fw sw proxy lb dns vpn backup store auth log mon k8s-node ip-10-0-3
dc print nas kafka es queue batch gpu pos bastion ldap""".split()
EXTENSIONS = "pdf csv xlsx docx txt json xml zip tar.gz png jpg log yaml sql parquet pptx mp4 bak html py js conf dat md exe dll sh key pem".split()
FOLDERS = "etc var usr opt home srv data tmp mnt backup exports uploads shared reports invoices media app config logs www lib bin public archive".split()
TABLES = """orders customers invoices users payments audit_log sessions products shipments employees ledger_entries accounts tickets events
patients claims prices stock_levels subscriptions messages""".split()
REGIONS = """us-east-1 us-east-2 us-west-2 eu-west-1 eu-central-1 eu-north-1 ap-southeast-1 ap-south-1 ap-northeast-1 sa-east-1 ca-central-1
europe-west1 us-central1 asia-east1 westeurope northeurope eastus centralus japaneast me-south-1 af-south-1""".split()
MONTHS = "January February March April May June July August September October November December".split()
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
ID_PREFIXES = """INV ORD PO TKT REQ CASE CLM SHP RMA JOB REF DOC EMP CUS ACC LOT SKU BATCH CHG INC PRJ WO RUN POL LN TX PAY MSG EVT VIN REG CON
DEV ASN GRN BK FL D K""".split()
CURRENCIES = ["$", "€", "£", "EUR ", "USD ", "GBP ", "¥", "CHF ", "INR ", "R$"]


def pick(values):
    return lambda rng: rng.choice(values)


def plain(text):
    """A name as a login has it: ASCII letters, lower case."""
    table = str.maketrans("äåàáãâçéèêëíîïñóöôõøúüß", "aaaaaaceeeeiiinooooouus")
    return "".join(c for c in text.lower().translate(table) if c in string.ascii_lowercase)


def user(rng):
    first, last = plain(rng.choice(FIRST)), plain(rng.choice(LAST))
    return rng.choice(
        [
            f"{first[0]}.{last}", f"{first}.{last}", f"{first}{last[0]}", f"{first[0]}{last}", first, f"{first}_{last}", f"{last}{first[0]}",
            f"{first}-{last[0]}", f"{first}{rng.randrange(100)}", f"u{rng.randrange(10_000)}", f"{last}", f"CORP\\{first[0]}{last}",
            rng.choice(["svc-", "sa_", "bot-", "app-"]) + rng.choice(SERVICES), rng.choice(["admin", "root", "deploy", "jenkins", "guest", "operator", "ops", "ci-robot"]),
        ]
    )  # fmt: skip


def name(rng):
    first, last = rng.choice(FIRST), rng.choice(LAST)
    return rng.choice([f"{first} {last}", f"{first} {last}", f"{first} {last}", first, f"{first[0]}. {last}", f"Dr {last}", f"Ms {last}", f"Mr {last}"])


def email(rng):
    return f"{user(rng).split(chr(92))[-1]}@{rng.choice(DOMAINS)}"


def ip(rng):
    if rng.random() < 0.1:
        net = rng.choice(["2001:db8::", "fe80::", "fd12:3456:789a::", "2a02:26f0::"])
        return str(ipaddress.IPv6Address(int(ipaddress.IPv6Address(net)) + rng.getrandbits(rng.choice([8, 16, 48]))))
    start = rng.choice(["10", "192.168", "172.16", "192.0.2", "198.51.100", "203.0.113", "127.0.0", str(rng.randint(11, 223))])
    parts = start.split(".")
    return ".".join(parts + [str(rng.randrange(256)) for _ in range(4 - len(parts))])


def hexes(rng, length=None):
    return f"{rng.getrandbits(256):064x}"[: length or rng.choice([6, 7, 8, 10, 12, 12, 16, 20, 32, 40])]


def uuid(rng):
    h = hexes(rng, 32)
    return f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}"


def ident(rng):
    n = rng.choice([rng.randrange(10, 100), rng.randrange(100, 10_000), rng.randrange(10_000, 10_000_000)])
    return rng.choice(
        [
            f"{rng.choice(ID_PREFIXES)}-{n}", f"{rng.choice(ID_PREFIXES)}-{n}", f"{rng.choice(ID_PREFIXES)}{n}", str(n), f"#{n}",
            f"{rng.choice(string.ascii_uppercase)}-{n}", f"{rng.choice(ID_PREFIXES).lower()}_{hexes(rng, 8)}", f"{rng.choice(ID_PREFIXES).lower()}-{n}",
            f"{rng.randint(2019, 2026)}-{n}", f"{rng.choice(WORDS)}-{rng.randrange(100)}", f"{n}/{rng.randrange(30)}", hexes(rng, 8), f"{rng.choice(string.ascii_uppercase)}{n}",
        ]
    )  # fmt: skip


def amount(rng):
    value = rng.choice([rng.uniform(1, 100), rng.uniform(100, 10_000), rng.uniform(1e4, 5e6)])
    digits = rng.choice([f"{value:.2f}", f"{value:,.2f}", f"{value:,.0f}", f"{value:.0f}"])
    return rng.choice([rng.choice(CURRENCIES) + digits, f"{digits} {rng.choice(['EUR', 'USD', 'GBP', 'euros', 'dollars', 'CHF', 'JPY'])}", digits])


def moment(rng):
    return datetime.datetime(2019, 1, 1) + datetime.timedelta(seconds=rng.randrange(8 * 365 * 86_400), milliseconds=rng.randrange(1000))


def date(rng):
    t = moment(rng)
    return t.strftime(rng.choice(["%Y-%m-%d", "%Y-%m-%d", "%d.%m.%Y", "%m/%d/%Y", "%d %b %Y", "%d %B", "%B %d", "%d/%m/%Y", "%Y%m%d", "%b %d", "%Y-%m"]))


def clock(rng):
    return moment(rng).strftime(rng.choice(["%H:%M", "%H:%M", "%H:%M:%S", "%I:%M %p", "%H:%M UTC", "%H.%M"]))


def stamp(rng):
    t = moment(rng)
    zone = rng.choice(["+00:00", "+02:00", "-05:00", "Z", "Z"])
    return rng.choice(
        [
            t.strftime("%Y-%m-%dT%H:%M:%SZ"), t.strftime("%Y-%m-%dT%H:%M:%S") + zone, t.strftime("%Y-%m-%d %H:%M:%S"), t.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z",
            t.strftime("%d/%b/%Y:%H:%M:%S +0000"), str(int(t.timestamp())), str(int(t.timestamp() * 1000)), t.strftime("%Y-%m-%d %H:%M:%S,%f")[:-3], t.strftime("%b %d %H:%M:%S"),
        ]
    )  # fmt: skip


def duration(rng):
    n = rng.choice([rng.randint(2, 12), rng.randint(2, 90)])
    return rng.choice([f"{n} {rng.choice(['seconds', 'minutes', 'hours', 'days', 'weeks', 'ms', 'min', 'months'])}", f"{n}{rng.choice(['s', 'ms', 'm', 'h', 'd'])}", f"{n}.{rng.randrange(10)}s", f"{n}m{rng.randrange(60)}s"])


def size(rng):
    n = rng.choice([rng.randint(1, 99), rng.randint(100, 999)])
    return f"{n}{rng.choice(['', f'.{rng.randrange(10)}'])}{rng.choice([' ', ' ', ''])}{rng.choice(['KB', 'MB', 'GB', 'TB', 'MiB', 'GiB', 'kB', 'bytes'])}"


def file(rng):
    stem = rng.choice([rng.choice(WORDS), f"{rng.choice(WORDS)}-{rng.choice(WORDS)}", f"{rng.choice(WORDS)}_{rng.randint(2019, 2026)}", f"{rng.choice(WORDS).title()} {rng.choice(WORDS)}", f"{rng.choice(WORDS)}{rng.randrange(100)}"])
    return f"{stem}.{rng.choice(EXTENSIONS)}"


def path(rng):
    folders = "/".join(rng.choice(FOLDERS + WORDS) for _ in range(rng.randint(1, 3)))
    return rng.choice([f"/{folders}/{file(rng)}", f"/{folders}", f"/{folders}/{rng.choice(WORDS)}", "C:\\" + folders.replace("/", "\\") + "\\" + file(rng), f"./{folders}/{file(rng)}"])


def domain(rng):
    return rng.choice([rng.choice(DOMAINS), f"{rng.choice(WORDS)}.example", f"{rng.choice(HOSTS)}.{rng.choice(DOMAINS)}", f"{rng.choice(WORDS)}-{rng.choice(WORDS)}.{rng.choice(['com', 'net', 'org', 'io', 'de', 'co', 'xyz'])}"])


def url(rng):
    route = rng.choice(["", f"/api/v{rng.randint(1, 4)}/{rng.choice(WORDS)}s", f"/{rng.choice(WORDS)}", f"/{rng.choice(WORDS)}/{rng.randrange(10_000)}", f"/{file(rng).replace(' ', '-')}"])
    return rng.choice([f"https://{domain(rng)}{route}", f"http://{domain(rng)}{route}", route or "/"])


def host(rng):
    base = f"{rng.choice(HOSTS)}{rng.choice(['', '-'])}{rng.choice(['', '0'])}{rng.randint(1, 40)}"
    return rng.choice([base, base, f"{base}.{rng.choice(['internal', 'local', 'prod', 'corp.example', 'dc1'])}", f"{rng.choice(SERVICES)}-{rng.choice(['prod', 'stg', 'eu', 'us'])}-{rng.randint(1, 9)}", f"ip-10-{rng.randrange(256)}-{rng.randrange(256)}-{rng.randrange(256)}"])


def service(rng):
    return rng.choice([f"{rng.choice(SERVICES)}-{rng.choice(KINDS)}", f"{rng.choice(SERVICES)}-{rng.choice(KINDS)}", f"{rng.choice(SERVICES)}_{rng.choice(KINDS)}", f"{rng.choice(SERVICES).title()}Service", rng.choice(SERVICES)])


def version(rng):
    return rng.choice(["v", "", ""]) + f"{rng.randrange(20)}.{rng.randrange(30)}" + rng.choice(["", f".{rng.randrange(20)}", f".{rng.randrange(20)}-rc{rng.randint(1, 4)}"])


def bucket(rng):
    return f"{rng.choice(['acme', 'corp', 'prod', 'data', 'team', rng.choice(WORDS)])}-{rng.choice(WORDS)}{rng.choice(['', '-eu', '-prod', '-logs', '-backup'])}"


def arn(rng):
    tail = rng.choice([f"iam::{account(rng)}:user/{plain(rng.choice(FIRST))}", f"iam::{account(rng)}:role/{rng.choice(WORDS)}-role", f"s3:::{bucket(rng)}", f"ec2:{rng.choice(REGIONS[:10])}:{account(rng)}:instance/i-{hexes(rng, 17)}", f"sts::{account(rng)}:assumed-role/{rng.choice(WORDS)}/{user(rng)}", f"lambda:{rng.choice(REGIONS[:10])}:{account(rng)}:function:{rng.choice(WORDS)}"])
    return f"arn:aws:{tail}"


def account(rng):
    return f"{rng.randrange(10**11, 10**12)}"


def vehicle(rng):
    return rng.choice([f"truck {rng.randint(1, 99)}", f"van {rng.randint(1, 99)}", f"TR-{rng.randint(10, 99)}", f"{''.join(rng.choices(string.ascii_uppercase, k=2))}-{rng.randint(100, 9999)}", f"bus {rng.randint(1, 300)}", f"tram {rng.randint(1, 30)}", f"forklift {rng.randint(1, 20)}", f"car {rng.randint(1, 99)}"])


SLOTS = {
    "user": user,
    "name": name,
    "email": email,
    "ip": ip,
    "host": host,
    "port": lambda rng: str(rng.choice([22, 25, 53, 80, 443, 3306, 5432, 6379, 8080, 8443, 9200, rng.randint(1024, 65_535)])),
    "pid": lambda rng: str(rng.randint(1, 65_000)),
    "n": lambda rng: str(rng.choice([rng.randint(1, 12), rng.randint(1, 99)])),
    "N": lambda rng: rng.choice(["{}", "{}", "{:,}"]).format(rng.choice([rng.randint(100, 999), rng.randint(1000, 99_999)])),
    "amount": amount,
    "pct": lambda rng: rng.choice([f"{rng.randint(1, 99)}%", f"{rng.randint(1, 99)}%", f"{rng.uniform(0, 100):.1f}%", f"{rng.randint(2, 99)} percent", f"{rng.randint(2, 99)} %"]),
    "id": ident,
    "uuid": uuid,
    "hex": hexes,
    "date": date,
    "time": clock,
    "ts": stamp,
    "day": pick(DAYS),
    "month": pick(MONTHS),
    "year": lambda rng: str(rng.randint(2016, 2027)),
    "dur": duration,
    "size": size,
    "file": file,
    "path": path,
    "url": url,
    "domain": domain,
    "company": pick(COMPANIES),
    "product": pick(PRODUCTS),
    "dept": pick(DEPTS),
    "role": pick(ROLES),
    "country": pick(COUNTRIES),
    "city": pick(CITIES),
    "device": pick(DEVICES),
    "browser": pick(BROWSERS),
    "version": version,
    "service": service,
    "db": lambda rng: rng.choice([f"{rng.choice(SERVICES)}_db", f"{rng.choice(SERVICES)}-{rng.choice(['prod', 'stg', 'dev', 'primary', 'replica'])}", f"{rng.choice(['pg', 'mysql', 'mongo', 'ora'])}{rng.randint(1, 9)}", rng.choice(["warehouse", "crm", "erp", "analytics"])]),
    "table": pick(TABLES),
    "bucket": bucket,
    "repo": lambda rng: rng.choice(["", "acme/", "org/", "team/"]) + rng.choice([f"{rng.choice(SERVICES)}-{rng.choice(KINDS)}", rng.choice(WORDS), "infra", "website", "mobile-app", "terraform-modules", "docs"]),
    "branch": lambda rng: rng.choice(["main", "master", "develop", "release/2.4", f"feature/{rng.choice(WORDS)}", f"fix-{rng.choice(WORDS)}", "hotfix", f"release-{rng.randrange(30)}"]),
    "queue": lambda rng: rng.choice([f"{rng.choice(SERVICES)}.{rng.choice(['in', 'out', 'events', 'tasks'])}", f"{rng.choice(SERVICES)}-queue", f"{rng.choice(WORDS)}_jobs"]),
    "project": lambda rng: rng.choice([f"{rng.choice(WORDS)}-{rng.choice(['prod', 'dev', 'platform', 'app'])}", f"Project {rng.choice(WORDS).title()}", f"{rng.choice(WORDS)}-{rng.randrange(1000, 999_999)}", rng.choice(WORDS)]),
    "region": pick(REGIONS),
    "account": account,
    "arn": arn,
    "phone": lambda rng: rng.choice([f"+{rng.randint(1, 98)} {rng.randint(100, 999)} {rng.randint(1000, 999_999)}", f"+{rng.randint(1, 98)}***{rng.randint(100, 999)}", f"0{rng.randint(100, 999)} {rng.randint(10_000, 9_999_999)}", f"555-{rng.randint(1000, 9999)}"]),
    "card": lambda rng: rng.choice(["****", "**** **** **** ", "xxxx-", "card ending ", "4***"]) + f"{rng.randint(1000, 9999)}",
    "cve": lambda rng: f"CVE-{rng.randint(2014, 2026)}-{rng.randint(1000, 49_999)}",
    "vehicle": vehicle,
    "room": lambda rng: rng.choice([f"room {rng.randint(1, 499)}", f"{rng.choice('ABCDE')}{rng.randint(1, 40)}", f"lab {rng.randint(1, 9)}", f"ward {rng.randint(1, 12)}", "server room", "boardroom", f"meeting room {rng.choice(WORDS)}", f"suite {rng.randint(100, 900)}"]),
    "word": pick(WORDS),
}  # fmt: skip
