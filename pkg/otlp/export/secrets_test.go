package export

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// disguises are what servers, proxies and libraries make of what they repeat.
var disguises = map[string]func(string) string{
	"as it is":   func(s string) string { return s },
	"upper case": strings.ToUpper,
	"lower case": strings.ToLower,
	"backwards":  reverse,
	"split":      func(s string) string { return strings.Join(strings.Split(s, ""), " - ") },
	"lines":      func(s string) string { return strings.Join(strings.Split(s, ""), "\n") },
	"invisible":  func(s string) string { return strings.Join(strings.Split(s, ""), "\u200b") },
	"quoted":     strconv.Quote,
	"ascii":      strconv.QuoteToASCII,
	"json": func(s string) string {
		out, _ := json.Marshal(s) // Every string can be.
		return string(out)
	},
	"html":         html.EscapeString,
	"query":        url.QueryEscape,
	"path":         url.PathEscape,
	"twice":        func(s string) string { return url.PathEscape(url.PathEscape(s)) },
	"all percent":  func(s string) string { return eachByte(s, "%%%02x", "") },
	"all html":     func(s string) string { return eachByte(s, "&#%d;", "") },
	"all hex html": func(s string) string { return eachByte(s, "&#x%X;", "") },
	"all x":        func(s string) string { return eachByte(s, `\x%02x`, "") },
	"all u":        func(s string) string { return eachByte(s, `\u%04X`, "") },
	"octal":        func(s string) string { return eachByte(s, `\%03o`, "") },
	"hex":          func(s string) string { return hex.EncodeToString([]byte(s)) },
	"HEX":          func(s string) string { return fmt.Sprintf("%X", s) },
	"hex dump":     func(s string) string { return fmt.Sprintf("% x", s) },
	"hex bytes":    func(s string) string { return eachByte(s, "0x%02x", ", ") },
	"bytes":        func(s string) string { return fmt.Sprintf("%d", []byte(s)) },
	"base64":       func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) },
	"base64 URL":   func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) },
	"base64 of a header": func(s string) string {
		return base64.StdEncoding.EncodeToString([]byte("Authorization: Bearer " + s + "\r\n"))
	},
	"base64 of other neighbors": func(s string) string { return base64.StdEncoding.EncodeToString([]byte("{" + s + "}")) },
	"base64 of upper case":      func(s string) string { return base64.StdEncoding.EncodeToString([]byte("xy" + strings.ToUpper(s))) },
	"base64 backwards":          func(s string) string { return reverse(base64.StdEncoding.EncodeToString([]byte(s))) },
	"backwards in base64":       func(s string) string { return base64.StdEncoding.EncodeToString([]byte(reverse(s))) },
	"hex backwards":             func(s string) string { return reverse(hex.EncodeToString([]byte(s))) },
	"backwards in hex":          func(s string) string { return hex.EncodeToString([]byte(reverse(s))) },
}

func eachByte(s, format, separator string) string {
	var out []string
	for i := range len(s) {
		out = append(out, fmt.Sprintf(format, s[i]))
	}
	return strings.Join(out, separator)
}

// visible are the characters of header values: net/http and gRPC send no
// others of ASCII.
var visible = func() (out []rune) {
	for r := '!'; r <= '~'; r++ {
		out = append(out, r)
	}
	return out
}()

// No run of six characters of a header's value is shown, in whatever disguise and
// between whatever else.
func TestSecretsAreFound(t *testing.T) {
	names := slices.Sorted(maps.Keys(disguises))
	value := rapid.OneOf(
		rapid.StringMatching(`[A-Za-z0-9_\-]{6,40}`),
		rapid.StringMatching(`[a-z0-9]{6,12}([.:/+=,;@!-][a-z0-9]{1,9}){0,4}`),
		rapid.StringOfN(rapid.SampledFrom(visible), 6, 40, -1),
	)
	prefix := rapid.SampledFrom([]string{"", "Bearer ", "bearer ", "Basic ", "Token ", "ApiKey "})
	rapid.Check(t, func(t *rapid.T) {
		secret := value.Draw(t, "secret")
		known := newSecrets(map[string]string{"x-tenant": "1", "authorization": prefix.Draw(t, "prefix") + secret})
		from := rapid.IntRange(0, len(secret)-run).Draw(t, "from")
		part := secret[from : from+rapid.IntRange(run, len(secret)-from).Draw(t, "length")]
		disguise := rapid.SampledFrom(names).Draw(t, "disguise")
		text := rapid.SampledFrom([]string{"", "no such user: ", "<b>", "üñ "}).Draw(t, "before") +
			disguises[disguise](part) + rapid.SampledFrom([]string{"", " may not write", "'", "…"}).Draw(t, "after")
		switch {
		case scheme.MatchString(secret):
			t.Skip("the secret begins like a scheme")
		case disguise == "split" && len(lettersAndDigits(part)) < run:
			t.Skip("what is between symbols may be other symbols, if it is no space")
		}
		if shown := quotable(text, known); shown != hidden {
			t.Fatalf("%s: of the secret %q was shown %q", disguise, part, shown)
		}
	})
}

// What a collector says about other things is shown.
func TestOtherTextsAreShown(t *testing.T) {
	known := newSecrets(map[string]string{
		"authorization": "Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJyb2xsc3BhbiIsImV4cCI6MTc2fQ.3q2-7wXyZ_0123456789abcdefABCDEF",
		"x-scope-orgid": "42", "x-flag": "true",
	})
	for _, text := range []string{
		"", "span too old", "invalid bearer token", "rpc error: code = ResourceExhausted desc = 42 requests are too many, true",
		"the collector's trace 5b8aa5a2d2c872e8321cf37308d69df2 is 0x1f bytes of base64 (dGVzdA==)",
		"connection error: desc = \"transport: Error while dialing: dial tcp 127.0.0.1:4317: connect: connection refused\"",
		"tls: failed to verify certificate: x509: certificate signed by unknown authority",
		"100% of \\everything &amp; more",
	} {
		if got := quotable(text, known); got != text {
			t.Errorf("%q was shown as %q", text, got)
		}
	}
}

// Passwords are secret, too, that come in another form: as a Basic login, or in a
// proxy's address.
func TestSecretsOfOtherForms(t *testing.T) {
	t.Setenv("HTTPS_PROXY", "http://me:pr0xy%2Dpass@proxy:3128")
	known := newSecrets(map[string]string{
		"authorization": "Basic " + base64.StdEncoding.EncodeToString([]byte("rollspan:l0g1n-pass")),
	})
	for _, text := range []string{
		"wrong password l0g1n-pass", "pr0xy%2Dpass is wrong", "proxy wants another than pr0xy-pass",
		"Proxy-Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("me:pr0xy-pass")),
	} {
		if got := quotable(text, known); got != hidden {
			t.Errorf("%q was shown as %q", text, got)
		}
	}
	if known := newSecrets(nil); known.in("anything at all: s3cr3t") {
		t.Error("without secrets something is one")
	}
}

func BenchmarkQuotable(b *testing.B) {
	known := newSecrets(map[string]string{"authorization": "Bearer " + strings.Repeat("0123456789abcdefgh", 100)})
	text := strings.Repeat("the collector says this and that ", 20)
	for b.Loop() {
		quotable(text, known)
	}
}
