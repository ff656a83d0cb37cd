"""Bodies that no honest client sends, by name, and the answer that each gets. `QUOTE` stands for a genuine quote."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final

BASE: Final = b'{"quote":"QUOTE"'
DEEP: Final = 100_000
MANY: Final = 40_000


@dataclass(frozen=True)
class Case:
    """A body, where it goes, and what comes back: status, code, and words that the answer holds."""

    body: bytes
    words: str
    status: int = 400
    code: str = "malformed-request"


def member(name: str, value: str | bytes, words: str = "what is expected") -> Case:
    """A flat request with one member more."""
    text = value.encode() if isinstance(value, str) else value
    return Case(BASE + b',"' + name.encode() + b'":' + text + b"}", words)


# Anywhere: no endpoint reads these.
NO_JSON: Final = {
    "nothing": Case(b"", "what is expected"),
    "white space": Case(b" \n\t ", "what is expected"),
    "null": Case(b"null", "what is expected"),
    "true": Case(b"true", "what is expected"),
    "a number": Case(b"1", "what is expected"),
    "text": Case(b'"quote"', "what is expected"),
    "an array": Case(b"[]", "what is expected"),
    "an array of a request": Case(b"[" + BASE + b"}]", "what is expected"),
    "an open brace": Case(b"{", "what is expected"),
    "cut in a name": Case(b'{"quo', "what is expected"),
    "cut in a value": Case(BASE[:-1], "what is expected"),
    "cut before its end": Case(BASE, "what is expected"),
    "two documents": Case(BASE + b"}" + BASE + b"}", "Extra data"),
    "words behind it": Case(BASE + b"} x", "Extra data"),
    "a trailing comma": Case(BASE + b",}", "what is expected"),
    "single quotes": Case(b"{'quote':'QUOTE'}", "what is expected"),
    "names without quotes": Case(b"{quote:1}", "what is expected"),
    "a comment": Case(BASE + b"/* x */}", "what is expected"),
    "a form": Case(b"quote=QUOTE", "what is expected"),
    "XML": Case(b"<quote>QUOTE</quote>", "what is expected"),
    "CBOR": Case(bytes.fromhex("a16571756f7465"), "what is expected"),
    "gzip": Case(bytes.fromhex("1f8b0800000000000003"), "what is expected"),
    "a byte order mark": Case(b"\xef\xbb\xbf" + BASE + b"}", "what is expected"),
    "UTF-16": Case((BASE + b"}").decode().encode("utf-16"), "what is expected"),
    "UTF-32": Case((BASE + b"}").decode().encode("utf-32"), "what is expected"),
    "Latin-1": Case(BASE + b',"x":"\xe9"}', "what is expected"),
    "overlong UTF-8": Case(BASE + b',"x":"\xc0\x80"}', "what is expected"),
    "a surrogate in UTF-8": Case(BASE + b',"x":"\xed\xa0\x80"}', "what is expected"),
    "a NUL between members": Case(BASE + b"\x00}", "what is expected"),
    "a line break in text": Case(b'{"quote":"\n"}', "what is expected"),
    "NaN": Case(BASE + b',"x":NaN}', "no number"),
    "Infinity": Case(BASE + b',"x":-Infinity}', "no number"),
    "a number beyond all": Case(BASE + b',"x":1e999}', "no number"),
    "a number too long to read": Case(BASE + b',"x":' + b"9" * MANY + b"}", "what is expected"),
    "a hexadecimal number": Case(BASE + b',"x":0x10}', "what is expected"),
    "arrays in arrays": Case(b"[" * DEEP, "what is expected"),
    "arrays in arrays, closed": Case(b"[" * DEEP + b"]" * DEEP, "what is expected"),
    "objects in objects": Case(b'{"a":' * (DEEP // 2), "what is expected"),
    "a deep value of an unknown member": Case(BASE + b',"x":' + b"[" * DEEP + b"]" * DEEP + b"}", "what is expected"),
    "the quote twice": Case(BASE + b',"quote":"QUOTE"}', "repeated"),
    "the quote twice, once escaped": Case(BASE + b',"qu\\u006fte":"AAAA"}', "repeated"),
    "an unknown member twice": Case(BASE + b',"x":1,"x":1}', "repeated"),
    "a nonce's value twice": Case(
        BASE + b',"verifier_nonce":{"val":"QQ==","val":"Qg==","iat":"","signature":""}}', "repeated"
    ),
    "half a character": Case(BASE + b',"x":"\\ud800"}', "what is expected"),
    "half a character in a name": Case(BASE + b',"\\udfff":1}', "what is expected"),
    "half a character in the quote": Case(b'{"quote":"\\ud83d"}', "what is expected"),
    "many members": Case(b"{" + b",".join(b'"%d":0' % i for i in range(MANY)) + b"}", "what is expected"),
    "one member many times": Case(b"{" + b",".join([b'"a":0'] * MANY) + b"}", "repeated"),
}

# The flat body of the first version; what its members may not be.
FLAT: Final = {
    "no member": Case(b"{}", "quote"),
    "the quote is null": Case(b'{"quote":null}', "quote"),
    "the quote is a number": Case(b'{"quote":1}', "quote"),
    "the quote is an array": Case(b'{"quote":["QUOTE"]}', "quote"),
    "the quote is an object": Case(b'{"quote":{"$ne":null}}', "quote"),
    "the quote by another case": Case(b'{"Quote":"QUOTE"}', "Quote"),
    "the quote is empty": Case(b'{"quote":""}', "1.1.quote_format", code="malformed-evidence"),
    "the quote is no base64": Case(b'{"quote":"****"}', "base64"),
    "the quote has white space": Case(b'{"quote":"AA AA"}', "base64"),
    "the quote has an escape": Case(b'{"quote":"AA\\nAA"}', "base64"),
    "the quote is one character": Case(b'{"quote":"A"}', "base64"),
    "the quote has padding inside": Case(b'{"quote":"AA==AAAA"}', "base64"),
    "the quote is not ASCII": Case('{"quote":"äöü"}'.encode(), "base64"),
    "the quote in full-width letters": Case('{"quote":"\uff31\uff31\uff1d\uff1d"}'.encode(), "base64"),
    "the quote is too long": Case(b'{"quote":"' + b"A" * 490_000 + b'"}', "quote is too long"),
    "the quote is zeros": Case(b'{"quote":"' + b"A" * 8000 + b'"}', "1.1.quote_format", code="malformed-evidence"),
    "the quote is a PEM": Case(b'{"quote":"-----BEGIN CERTIFICATE-----"}', "base64"),
    "an unknown member": member("x", "1", "x"),
    "a prototype": member("__proto__", "{}", "__proto__"),
    "a member of another version": member("sgx", "{}", "sgx"),
    "an algorithm": member("token_signing_alg", '"HS256"', "token_signing_alg"),
    "no algorithm": member("token_signing_alg", '"none"', "token_signing_alg"),
    "an algorithm in lower case": member("token_signing_alg", '"ps384"', "token_signing_alg"),
    "algorithms": member("token_signing_alg", '["PS384"]', "token_signing_alg"),
    "an algorithm that is a number": member("token_signing_alg", "384", "token_signing_alg"),
    "a long algorithm": member("token_signing_alg", '"' + "x" * 100_000 + '"', "token_signing_alg"),
    "an algorithm with a line break": member("token_signing_alg", '"PS384\\n"', "token_signing_alg"),
    "a profile": member("token_profile", '"azure"', "token_profile"),
    "a profile that is a path": member("token_profile", '"../v1"', "token_profile"),
    "profiles": member("token_profile", '["v1"]', "token_profile"),
    "no policy id": member("policy_ids", '["x"]', "policy id"),
    "a policy id that is a path": member("policy_ids", '["../../etc/passwd"]', "policy id"),
    "a policy id that is SQL": member("policy_ids", '["\' OR 1=1 --"]', "policy id"),
    "a policy id that is null": member("policy_ids", "[null]", "policy_ids"),
    "a policy id that is a number": member("policy_ids", "[1]", "policy_ids"),
    "policy ids that are text": member("policy_ids", '"7c9d1f4e-8a5b-4a7e-9a37-0d3f1f1a9b11"', "policy_ids"),
    "policy ids that are an object": member("policy_ids", "{}", "policy_ids"),
    "eleven policy ids": member(
        "policy_ids", json.dumps(["7c9d1f4e-8a5b-4a7e-9a37-0d3f1f1a9b11"] * 11), "too many policy ids"
    ),
    "ten thousand policy ids": member("policy_ids", json.dumps(["x"] * 10_000), "too many policy ids"),
    "must match as text": member("policy_must_match", '"true"', "policy_must_match"),
    "must match as a number": member("policy_must_match", "1", "policy_must_match"),
    "runtime data that is no base64": member("runtime_data", '"*"', "runtime_data"),
    "runtime data that is an object": member("runtime_data", '{"a":1}', "runtime_data"),
    "runtime data that is true": member("runtime_data", "true", "runtime_data"),
    "runtime data that is too long": member("runtime_data", '"' + "A" * 400_000 + '"', "runtime_data is too long"),
    "user data beside it": Case(BASE + b',"runtime_data":"QQ==","user_data":"QQ=="}', "user_data"),
    "an event log that is an object": member("event_log", "{}", "event_log"),
    "a nonce that is text": member("verifier_nonce", '"x"', "verifier_nonce"),
    "a nonce that is an array": member("verifier_nonce", '["a","b","c"]', "verifier_nonce"),
    "an empty nonce": member("verifier_nonce", "{}", "val"),
    "a nonce without signature": member("verifier_nonce", '{"val":"QQ==","iat":"QQ=="}', "signature"),
    "a nonce with a member more": member(
        "verifier_nonce", '{"val":"QQ==","iat":"QQ==","signature":"QQ==","x":1}', "unknown field"
    ),
    "a nonce of nulls": member("verifier_nonce", '{"val":null,"iat":null,"signature":null}', "val"),
    "a nonce of numbers": member("verifier_nonce", '{"val":1,"iat":2,"signature":3}', "val"),
    "a nonce that is no base64": member("verifier_nonce", '{"val":"*","iat":"*","signature":"*"}', "base64"),
    "a nonce that is not ASCII": member("verifier_nonce", '{"val":"é","iat":"","signature":""}'.encode(), "base64"),
    "a nonce without padding": member("verifier_nonce", '{"val":"QQ","iat":"QQ","signature":"QQ"}', "base64"),
    "a nonce that is too long": member(
        "verifier_nonce", json.dumps({"val": "A" * 2000, "iat": "QQ==", "signature": "QQ=="}), "too long"
    ),
    "a nonce of nothing": Case(
        BASE + b',"verifier_nonce":{"val":"","iat":"","signature":""}}', "10.1.nonce", code="nonce-unknown"
    ),
    "a nonce of a stranger": Case(
        BASE + b',"verifier_nonce":{"val":"QQ==","iat":"QQ==","signature":"QQ=="}}', "10.1.nonce", code="nonce-unknown"
    ),
    "two nonces": Case(
        BASE
        + b',"verifier_nonce":{"val":"QQ==","iat":"QQ==","signature":"QQ=="}'
        + b',"nonce":{"val":"QQ==","iat":"QQ==","signature":"QQ=="}}',
        "several nonces",
    ),
    "three nonces": Case(
        BASE
        + b"".join(
            b',"' + name + b'":{"val":"QQ==","iat":"QQ==","signature":"QQ=="}'
            for name in (b"verifier_nonce", b"nonce", b"signed_nonce")
        )
        + b"}",
        "several nonces",
    ),
}

# The composite body of the second version.
_ONE: Final = '{"quote":"QUOTE"}'
COMPOSITE: Final = {
    "no evidence": Case(b"{}", "one evidence"),
    "evidence that is null": Case(b'{"sgx":null,"tdx":null}', "one evidence"),
    "evidence that is text": Case(b'{"sgx":"QUOTE"}', "sgx"),
    "evidence that is an array": Case(b'{"sgx":[{"quote":"QUOTE"}]}', "sgx"),
    "evidence without a quote": Case(b'{"sgx":{}}', "quote"),
    "evidence with a quote of another type": Case(b'{"tdx":{"quote":1}}', "quote"),
    "evidence with a member more": Case(b'{"sgx":{"quote":"QUOTE","report":"AAAA"}}', "report"),
    "evidence twice": Case(f'{{"sgx":{_ONE},"sgx":{_ONE}}}'.encode(), "repeated"),
    "evidence by another case": Case(f'{{"SGX":{_ONE}}}'.encode(), "SGX"),
    "two kinds": Case(f'{{"sgx":{_ONE},"tdx":{_ONE}}}'.encode(), "sgx and tdx"),
    "flat and nested": Case(f'{{"quote":"QUOTE","sgx":{_ONE}}}'.encode(), "sgx"),
    "an unknown kind": Case(f'{{"sgx":{_ONE},"sev":{_ONE}}}'.encode(), "sev"),
    "a kind that is not read": Case(f'{{"sgx":{_ONE},"nvgpu":{{}}}}'.encode(), "nvgpu"),
    "a kind that is not read, and no object": Case(f'{{"sgx":{_ONE},"tpm":0}}'.encode(), "tpm"),
    "a nonce beside the evidence": Case(
        f'{{"sgx":{_ONE},"verifier_nonce":{{"val":"QQ==","iat":"QQ==","signature":"QQ=="}}}}'.encode(), "verifier_nonce"
    ),
    "options inside the evidence": Case(b'{"sgx":{"quote":"QUOTE","token_signing_alg":"PS384"}}', "token_signing_alg"),
    "an old name of a nonce": Case(b'{"sgx":{"quote":"QUOTE","nonce":{}}}', "nonce"),
    "deep evidence of another kind": Case(b'{"nvgpu":' + b"[" * DEEP + b"]" * DEEP + b"}", "what is expected"),
}
