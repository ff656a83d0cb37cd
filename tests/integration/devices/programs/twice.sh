# What programs do with the files: the API key is written, the token read twice, then the secret and the status.
show() {
    if text=$({ cat < "/dev/amber/$1"; } 2>&1); then
        printf '%s: %s\n' "$1" "$text"
    else
        printf '%s failed: %s\n' "$1" "$text"
    fi
}

if [ $# -gt 0 ]; then
    if text=$({ printf %s "$1" > /dev/amber/endpoint_apikey; } 2>&1); then text=written; fi
    printf 'key %s\n' "$text"
fi
show token
show token
show secret
show status
