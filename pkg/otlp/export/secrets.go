package export

import (
	"encoding/base64"
	"encoding/hex"
	"html"
	"index/suffixarray"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// secrets knows what must not get into a log, and recognizes it in what others
// say: the values of headers, which servers repeat when they complain about
// them, cut, split, in other case, escaped or encoded. A text is shown as it is
// or not at all, so that there is nothing left of one that was only partly
// recognized.
//
// What is recognized is any run of six characters of a secret:
//   - in any case, and with space or what cannot be seen between them,
//   - of its letters and digits, with anything between them that is neither,
//   - escaped as in URLs, HTML, JSON or Go, twice at most,
//   - as hexadecimal or decimal numbers of its bytes, or in base64,
//   - and each of these backwards.
//
// Shorter values, such as "1" or "true", are no credentials, and would hide
// half of all texts.
type secrets struct {
	haystacks []haystack
}

// haystack is one form of all secrets. A text that has window bytes of it in a
// row, after fold, repeats one.
type haystack struct {
	fold   func(string) string
	window int
	index  *suffixarray.Index
}

// run is how many characters of a secret in a row must not be shown.
const run = 6

// newSecrets returns the secrets in the values of headers, and in the
// addresses of proxies.
func newSecrets(headers ...map[string]string) *secrets {
	var values []string
	for _, some := range headers {
		for _, v := range some {
			values = append(values, secretParts(v)...)
		}
	}
	values = append(values, proxyPasswords()...)
	var words, symbols, numbers, base64s, base64Symbols []string
	for _, v := range values {
		words = append(words, v)
		symbols = append(symbols, v)
		// Who encodes it may have changed its case, or turned it round, before.
		for _, form := range []string{v, strings.ToLower(v), strings.ToUpper(v)} {
			for _, s := range []string{form, reverse(form)} {
				numbers = append(numbers, hex.EncodeToString([]byte(s)), decimal(s))
				for before := range 3 {
					base64s = append(base64s, base64At(s, before))
				}
			}
		}
	}
	base64Symbols = base64s
	return &secrets{haystacks: []haystack{
		newHaystack(words, lettersAndDigits, run),
		newHaystack(symbols, withoutSpace, run),
		newHaystack(numbers, lettersAndDigits, 2*run),
		// Six bytes are seven characters of base64 at least, of which one or
		// another may be no letter.
		newHaystack(base64s, lettersAndDigits, run),
		newHaystack(base64Symbols, base64Only, run+1),
	}}
}

func newHaystack(forms []string, fold func(string) string, window int) haystack {
	var all strings.Builder
	for _, s := range forms {
		for _, s := range []string{fold(s), reverse(fold(s))} {
			all.WriteString(s)
			all.WriteByte(' ') // No fold leaves one in a text.
		}
	}
	return haystack{fold: fold, window: window, index: suffixarray.New([]byte(all.String()))}
}

// in says whether text repeats a part of a secret.
func (s *secrets) in(text string) bool {
	once := unescape(text)
	twice := unescape(once)
	for _, variant := range []string{text, once, twice, hexPrefix.ReplaceAllString(text, "")} {
		for _, h := range s.haystacks {
			folded := []byte(h.fold(variant))
			for i := 0; i+h.window <= len(folded); i++ {
				if len(h.index.Lookup(folded[i:i+h.window], 1)) > 0 {
					return true
				}
			}
		}
	}
	return false
}

// scheme is what can stand before credentials and is known to everybody.
var scheme = regexp.MustCompile(`(?i)^(?:basic|bearer|digest|dpop|negotiate|token|(?:api|access)[-_]?(?:key|token)|key|splunk)(?: +|[=:] *)`)

// secretParts are what is secret in the value of a header: all but the scheme,
// and what stands behind it in base64.
func secretParts(value string) []string {
	out := []string{scheme.ReplaceAllString(value, "")}
	for _, encoding := range []*base64.Encoding{
		base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding,
	} {
		plain, err := encoding.DecodeString(out[0])
		if err == nil && utf8.Valid(plain) && !strings.ContainsFunc(string(plain), unicode.IsControl) {
			return append(out, string(plain))
		}
	}
	return out
}

// proxyPasswords are those in the variables that net/http and gRPC read, which
// their errors may repeat, as the variable has them and as they are sent.
func proxyPasswords() []string {
	var out []string
	for _, name := range []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"} {
		value := os.Getenv(name)
		at := strings.LastIndexByte(value, '@')
		if at < 0 {
			continue
		}
		user := value[:at]
		if _, after, ok := strings.Cut(user, "://"); ok {
			user = after
		}
		out = append(out, user)
		if plain, err := url.PathUnescape(user); err == nil && plain != user {
			out = append(out, plain)
		}
	}
	return out
}

// lettersAndDigits leaves only these, in one case.
func lettersAndDigits(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsLetter(r) && !unicode.IsNumber(r) {
			return -1
		}
		return foldCase(r)
	}, s)
}

// withoutSpace leaves all that can be seen, in one case.
func withoutSpace(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || !unicode.IsPrint(r) {
			return -1
		}
		return foldCase(r)
	}, s)
}

// base64Only leaves the characters of base64, in one case and one alphabet.
func base64Only(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '-':
			return '+'
		case r == '_':
			return '/'
		case r == '+' || r == '/' || r < utf8.RuneSelf && (unicode.IsLetter(r) || unicode.IsDigit(r)):
			return foldCase(r)
		}
		return -1
	}, s)
}

// foldCase is the same for all runes that differ in case only: the least.
func foldCase(r rune) rune {
	least := r
	for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
		least = min(least, f)
	}
	return least
}

func reverse(s string) string {
	runes := []rune(s)
	slices.Reverse(runes)
	return string(runes)
}

// decimal writes the bytes of s as numbers, as Go and others print them, but
// for what they put in between.
func decimal(s string) string {
	var out strings.Builder
	for i := range len(s) {
		out.WriteString(strconv.Itoa(int(s[i])))
	}
	return out.String()
}

// base64At is what is seen of s where it is encoded together with what is
// around it, and some bytes (0 to 2, beyond multiples of 3) come before.
func base64At(s string, before int) string {
	encoded := base64.RawStdEncoding.EncodeToString(append(make([]byte, before), s...))
	// Characters at the edges depend on the neighbors, too.
	if (before+len(s))%3 != 0 {
		encoded = encoded[:len(encoded)-1]
	}
	return encoded[min(len(encoded), (before*8+5)/6):]
}

var (
	escaped   = regexp.MustCompile(`(?i)%[0-9a-f]{2}|\\x[0-9a-f]{2}|\\u[0-9a-f]{4}|\\u\{0*[0-9a-f]{1,6}\}|\\[0-7]{3}|\\[\\"'/]`)
	hexPrefix = regexp.MustCompile(`(?i)0x`)
)

// unescape undoes what can be undone of how URLs, HTML, JSON and programming
// languages write characters, and leaves the rest.
func unescape(s string) string {
	s = escaped.ReplaceAllStringFunc(s, func(e string) string {
		if len(e) == 2 {
			return e[1:]
		}
		digits, base := strings.Trim(strings.ToLower(e), `%\xu{}`), 16
		if e[0] == '\\' && e[1] >= '0' && e[1] <= '7' {
			base = 8
		}
		code, err := strconv.ParseUint(digits, base, 21)
		switch {
		case err != nil:
			return e
		case code < 256 && !strings.ContainsAny(e, `uU`):
			return string([]byte{byte(code)})
		}
		return string(rune(code)) //nolint:gosec // 21 bits fit.
	})
	return html.UnescapeString(s)
}
