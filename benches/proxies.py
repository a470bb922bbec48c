"""The forwarders that forward.py compares, and how each of them is started."""

import os

# {h} is the address of all ends, {p} the port to listen on, {t} the port to lead to.
HAPROXY = """
global
    nbthread 1
    maxconn 5000
defaults
    mode tcp
    maxconn 5000
    timeout connect 5s
    timeout client 1h
    timeout server 1h
    {option}
listen forward
    bind {h}:{p}
    server there {h}:{t}
"""
NGINX = """
load_module {modules}/ngx_stream_module.so;
daemon off;
master_process off;
worker_rlimit_nofile 5000;
pid {folder}/nginx.pid;
error_log stderr crit;
events {{ worker_connections 5000; }}
stream {{
    server {{
        listen {h}:{p}{udp};
        {speaks}
        proxy_pass {h}:{t};
    }}
}}
"""
MODULES = "/usr/lib/nginx/modules"

# What each is told; "file" is what {file} holds. A tool with "udp" forwards datagrams, too.
PROXIES = {
    "pktcat forward": {
        "binary": "pktcat",
        "tcp": "forward {h}:{p} {h}:{t}",
        "udp": "forward -u {h}:{p} {h}:{t}",
    },
    "pktcat forward --portable": {
        "binary": "pktcat",
        "tcp": "forward --portable {h}:{p} {h}:{t}",
        "udp": "forward --portable -u {h}:{p} {h}:{t}",
    },
    "haproxy": {
        "binary": "haproxy",
        "tcp": "-q -db -f {file}",
        "file": HAPROXY.replace("{option}", ""),
    },
    "haproxy, splice-auto": {
        "binary": "haproxy",
        "tcp": "-q -db -f {file}",
        "file": HAPROXY.replace("{option}", "option splice-auto"),
    },
    "nginx stream": {
        "binary": "nginx",
        "needs": f"{MODULES}/ngx_stream_module.so",
        "tcp": "-e stderr -c {file}",
        "udp": "-e stderr -c {file}",
        "file": NGINX,
    },
    "socat": {
        "binary": "socat",
        "tcp": "TCP-LISTEN:{p},bind={h},reuseaddr,fork,backlog=1024 TCP:{h}:{t}",
        "udp": "UDP-LISTEN:{p},bind={h},reuseaddr,fork UDP:{h}:{t}",
    },
    "socat -b 65536": {
        "binary": "socat",
        "tcp": "-b 65536 TCP-LISTEN:{p},bind={h},reuseaddr,fork,backlog=1024 TCP:{h}:{t}",
        "udp": "-b 65536 UDP-LISTEN:{p},bind={h},reuseaddr,fork UDP:{h}:{t}",
    },
}


def words(name, kind, folder, port, to, host):
    """What is written after the tool's name to lead `port` to `to`."""
    tool = PROXIES[name]
    facts = {"h": host, "p": port, "t": to, "folder": folder, "modules": MODULES,
             "udp": " udp" if kind == "udp" else "",
             "speaks": "proxy_timeout 10s;" if kind == "udp" else "tcp_nodelay on;"}
    facts["file"] = os.path.join(folder, f"conf-{port}")
    if "file" in tool:
        with open(facts["file"], "w", encoding="ascii") as file:
            file.write(tool["file"].format(**facts))
    return tool[kind].format(**facts).split()
