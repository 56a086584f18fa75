"""The texts of the golden files: audit lines of every shape, and what breaks tokenizers."""

SHORT = """
Failed login attempt for username: admin
User logged in successfully
Order rejected by manager
Order approved
Permission denied
Failed login attempt
ok
OK.
x
42
no
Disk full
Invoice paid
Backup completed
backup FAILED
Password changed
Session expired
MFA disabled for all administrators
Nightly sync finished, 0 errors
Shipment delayed
Refund issued twice
Certificate renewed
Audit log cleared
Role granted: viewer
Role granted: super-administrator
Cache warmed
Quota exceeded
Health check passed
Health check failed
Payment declined: insufficient funds
Customer record exported
Door forced open
Temperature within limits
Heartbeat lost
Firewall rule removed
Report generated
Suspicious activity detected
Access was not denied
No failures detected
Error rate back to normal
Successfully exfiltrated 4 GB
Ransom note found on the file server
Stock counted, nothing missing
Token revoked
Token leaked
Contract signed
Contract never signed
Two-factor enrolment finished
Unknown device
Lunch menu published
""".strip().splitlines()

LINES = """
The nightly reconciliation of the ledger finished without differences and the report was sent to accounting
Deployment of release 4.2.1 was rolled back after the error rate rose above five percent in the first minutes
2026-11-23T03:25:01.123Z INFO  [http-nio-8080-exec-4] c.e.orders.OrderService - order 10023 accepted (12 ms)
2026-11-23T03:25:02.456Z ERROR [http-nio-8080-exec-9] c.e.orders.OrderService - order 10024 failed: java.sql.SQLTimeoutException
Nov 23 03:25:01 web01 sshd[1234]: Accepted publickey for deploy from 192.0.2.10 port 51022 ssh2
Nov 23 03:25:07 web01 sshd[1240]: Failed password for invalid user oracle from 203.0.113.77 port 40022 ssh2
Nov 23 03:25:09 db01 kernel: Out of memory: Killed process 4211 (postgres) total-vm:8123456kB
Nov 23 03:26:00 db01 CRON[991]: (root) CMD (/usr/local/bin/rotate-logs --keep 14)
ts=2026-11-23T03:25:01Z level=info msg="user created" user=j.doe role=analyst ip=198.51.100.4
ts=2026-11-23T03:25:01Z level=error msg="upstream unreachable, giving up" attempts=5 service=billing-api
{"ts":"2026-11-23T03:25:01Z","event":"user.login","actor":"ana@example.com","outcome":"success","mfa":true}
{"ts":"2026-11-23T03:25:01Z","event":"user.login","actor":"ana@example.com","outcome":"failure","reason":"bad password"}
{"eventName":"StopLogging","eventSource":"cloudtrail.amazonaws.com","awsRegion":"eu-west-1","userIdentity":{"type":"Root"}}
{"eventName":"DescribeInstances","eventSource":"ec2.amazonaws.com","awsRegion":"eu-west-1","errorCode":null}
type=USER_AUTH msg=audit(1700000000.123:456): pid=991 uid=0 auid=1000 ses=3 res=failed
CEF:0|Example|Gateway|1.0|100|Connection allowed|3|src=192.0.2.1 dst=198.51.100.9 spt=4455 dpt=443
GET /index.html HTTP/1.1 200 5123 "-" "Mozilla/5.0 (X11; Linux x86_64)"
GET /../../etc/passwd HTTP/1.1 400 0 "-" "curl/8.5.0"
POST /api/v1/login?next=%2Fadmin HTTP/1.1 401 87 "https://shop.example/login"
SELECT * FROM users WHERE name = '' OR '1'='1'; --
Traceback (most recent call last): File "/srv/app/main.py", line 42, in handler KeyError: 'order_id'
npm ERR! code ECONNREFUSED
Exit code 0
Exit code 137
user=42;action=delete;object=customer/991;result=denied;reason="not owner"
Invoice INV-2026-00417 over EUR 12,400.00 was paid twice within 3 minutes by different approvers
C:\\Windows\\System32\\cmd.exe /c wevtutil cl Security
AKIA-style key found in commit 3f2a9c1b7e in repository payments-service
<script>alert(1)</script> in field "comment" of ticket #5512
100% of 1,000 records processed; 0.00% errors; p99=12.5ms; Δ=-0.3σ
Price changed from $19.99 to €1.00 for 3 products -- reviewed? (no)
a.b.c@example.co.uk -> 2001:db8::ff00:42:8329 [443/tcp] ~ 5e-10 != 5E+10
__init__ self._private __dunder__ snake_case_name camelCaseName SCREAMING_CASE
don't can't won't it's rock'n'roll O'Brien l'utilisateur
hyphen-ated words—and dashes – of all‐kinds; "curly" ‘quotes’ … ellipsis
""".strip().splitlines()

MARKED = [
    "[CLS] literal special tokens [SEP] in a text [MASK] [UNK] [PAD]",
    "[cls] lower-cased special tokens [sep]",
    "##ing at the start of a word ##",
]

SCRIPTS = [
    "ユーザーがログインしました",
    "ログインに失敗しました",
    "用户登录失败",
    "用户登录成功，没有错误",
    "使用者已登出。",
    "로그인 실패",
    "사용자가 로그인했습니다",
    "تم تسجيل دخول المستخدم بنجاح",
    "فشل تسجيل الدخول",
    "הכניסה נכשלה",
    "משתמש התחבר בהצלחה",
    "Пользователь вошёл в систему",
    "Ошибка входа",
    "Ο χρήστης συνδέθηκε",
    "उपयोगकर्ता लॉगिन विफल",
    "การเข้าสู่ระบบล้มเหลว",
    "Đăng nhập thất bại",
    "Anmeldung fehlgeschlagen für Benutzer Jürgen Groß",
    "Échec de la connexion à l'hôte « été »",
    "İstanbul'da giriş başarısız oldu, ışık",
    "Zażółć gęślą jaźń",
    "mixed 中文 and English 登录 failed",
    "\U00020000\U00020001 \U0002a700\U0002f800 rare han",
    "\uff21\uff22\uff23 full width \uff11\uff12\uff13",
    "\u202eright-to-left override\u202c and \u200fmarks\u200e",
]

ODD = [
    "",
    " ",
    "   \t\n\r  ",
    "\u0000",
    "\u0000\u0001\u0002",
    "a\u0000b\u0007c\u001bd",
    "\u200b",
    "\u200bzero\u200bwidth\u200b",
    "\ufeffbyte order mark",
    "\ufffd",
    "lone surrogates arrive as \ufffd\ufffd",
    "soft\u00adhyphen",
    "non\u00a0breaking\u00a0space\u3000ideographic\u2003em",
    "line\nbreak\r\nand\ttab",
    "line\u2028separator\u2029paragraph\u0085next",
    "\ue000\uf8ff private use",
    "\U000e0001\U000f0000 tags and planes",
    "e\u0301 combining \u0041\u030a \u1e9b\u0323",
    "\u0130\u0131\u017f\u1e9e\ufb01\ufb03 casing",
    "\U0001d4ae\U0001d4c8 \u2460\u2461 \u00bd \u2122 math and symbols",
    "😀",
    "🚨 disk failure 🚨",
    "✅ deployed",
    "👩‍💻 logged in 👍🏽",
    "🇨🇭🇫🇷 flags",
    "☠️💀",
    "...",
    "!!!",
    "?",
    "-",
    "()[]{}<>",
    "0",
    "0000000000000000",
    "192.0.2.1",
    "2001:db8::1",
    "a" * 99,
    "a" * 100,
    "a" * 101,
    "é" * 100,
    "é" * 101,
    "中" * 120,
    "x" * 5000,
    "word " + "b" * 150 + " word",
    "a-" * 60,
    "deadbeef" * 8,
    "550e8400-e29b-41d4-a716-446655440000",
    "%s %d {} {0} ${HOME} \\x00 \\u0000",
    "'; DROP TABLE logs; --",
    "\\\\server\\share\\file.txt",
    "a" * 100 + " " + "b" * 101 + " failed",
]

FILLER = "the order was accepted and the parcel left the depot on time with all papers signed".split()


def words(count: int) -> str:
    """`count` routine words, each of them whole pieces in common vocabularies."""
    return " ".join(FILLER[index % len(FILLER)] for index in range(count))


def repeated(line: str, times: int) -> str:
    """One line again and again, as in a log that was pasted whole."""
    return " | ".join([line] * times)


TEXTS = SHORT + LINES + MARKED + SCRIPTS + ODD

# Those beyond 512 tokens are cut into windows by the engine; Python scores each window by itself.
LONG = [words(count) for count in (50, 100, 200, 300, 450, 511, 1019, 3000)] + [
    repeated(LINES[index], times)
    for index, times in ((2, 3), (4, 4), (7, 5), (9, 3), (10, 3), (15, 4), (20, 5), (28, 6), (3, 60), (10, 90))
]
