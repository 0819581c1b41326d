package export

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"

	"golang.org/x/net/http/httpguts"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

// headerFiles are the headers that are in files, such as a Secret that is mounted or a token of
// a ServiceAccount, and are renewed there. The files are read again for each request. What
// cannot be read changes nothing: what was read before stays in use.
type headerFiles struct {
	// list is the file that has headers, and token the one that has a token; without a value
	// there is none.
	list, token source
	// fixed are the headers that are not in files, whose values are secrets, too.
	fixed map[string]string

	renewed
	texts     map[string][]byte // what the files held when they could be used last
	headers   map[string]string
	fromToken string
	secrets   *secrets
}

// maxHeaderFile is far more than servers take of headers.
const maxHeaderFile = 1 << 20

// read reads the files for the first time; its errors are about them.
func (f *headerFiles) read() error {
	f.texts = map[string][]byte{}
	_, errList := f.readList()
	_, errToken := f.readToken()
	for name := range f.headers {
		if f.token.value != "" && strings.EqualFold(name, "authorization") {
			return fmt.Errorf("%s: %s has a header %s, and %s another one; leave one of them out", f.list.name, f.list.value, name, f.token.name)
		}
	}
	f.know(nil)
	return errors.Join(errList, errToken)
}

// know takes note of what is secret now, and was a moment ago: whoever answers may repeat either.
func (f *headerFiles) know(before map[string]string) {
	f.secrets = newSecrets(before, f.fixed, f.all())
}

// all are the headers that the files hold.
func (f *headerFiles) all() map[string]string {
	out := maps.Clone(f.headers)
	if f.fromToken != "" {
		if out == nil {
			out = map[string]string{}
		}
		maps.DeleteFunc(out, func(name, _ string) bool { return strings.EqualFold(name, "authorization") })
		out["authorization"] = "Bearer " + f.fromToken
	}
	return out
}

// now are the headers of a request that is made now.
func (f *headerFiles) now() map[string]string {
	f.mu.Lock()
	defer f.mu.Unlock()
	before := f.all()
	list, err := f.readList()
	f.report(f.list, list, err)
	token, err := f.readToken()
	f.report(f.token, token, err)
	if list || token {
		f.know(before)
	}
	return f.all()
}

// known are the secrets.
func (f *headerFiles) known() *secrets {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.secrets
}

func (f *headerFiles) readList() (changed bool, err error) {
	text, changed, err := f.readFile(f.list)
	if !changed || err != nil {
		return false, err
	}
	headers, err := parseHeaders(strings.NewReplacer("\r\n", ",", "\n", ",").Replace(string(text)))
	if err == nil && len(headers) == 0 {
		err = errors.New("there is no header in it; write name=value, one a line")
	}
	if err != nil {
		return false, fmt.Errorf("%s: %s: %w", f.list.name, f.list.value, err)
	}
	f.texts[f.list.name], f.headers = text, headers
	return true, nil
}

func (f *headerFiles) readToken() (changed bool, err error) {
	text, changed, err := f.readFile(f.token)
	if !changed || err != nil {
		return false, err
	}
	token := strings.TrimSpace(string(text))
	if token == "" || !httpguts.ValidHeaderFieldValue(token) {
		return false, fmt.Errorf("%s: %s holds no token; write it into the file, in one line and without 'Bearer'", f.token.name, f.token.value)
	}
	f.texts[f.token.name], f.fromToken = text, token
	return true, nil
}

// readFile reads a file, and says whether it is another than the one that is in use.
func (f *headerFiles) readFile(from source) (text []byte, changed bool, err error) {
	if from.value == "" {
		return nil, false, nil
	}
	text, err = from.read()
	switch {
	case err != nil:
		return nil, false, err
	case len(text) > maxHeaderFile:
		return nil, false, fmt.Errorf("%s: %s has more than %d bytes, and holds no headers", from.name, from.value, maxHeaderFile)
	}
	old, known := f.texts[from.name]
	return text, !known || !bytes.Equal(text, old), nil
}

// intercept gives a call by gRPC the headers; those in files win.
func (f *headerFiles) intercept(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	md, _ := metadata.FromOutgoingContext(ctx)
	md = md.Copy()
	for name, value := range f.now() {
		md.Set(name, value)
	}
	return invoke(metadata.NewOutgoingContext(ctx, md), method, req, reply, cc, opts...)
}

// headerTransport gives requests by HTTP the headers; those in files win.
type headerTransport struct {
	files *headerFiles
	next  http.RoundTripper
}

// RoundTrip makes one request.
func (t headerTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	for name, value := range t.files.now() {
		r.Header.Set(name, value)
	}
	return t.next.RoundTrip(r)
}

// resolveHeaderFiles reads the files with headers; nil if there are none.
func (s *settings) resolveHeaderFiles() error {
	f := &headerFiles{
		renewed: renewed{what: "headers"},

		list:  source{strings.TrimSpace(s.HeadersFile), "--otlp-headers-file"},
		token: source{strings.TrimSpace(s.BearerTokenFile), "--otlp-bearer-token-file"},
		fixed: s.headers,
	}
	if f.list.value == "" && f.token.value == "" {
		return nil
	}
	s.headerFiles = f
	return f.read()
}

// headerCount is how many headers a request has.
func (s *settings) headerCount() int {
	names := map[string]bool{}
	for name := range s.headers {
		names[strings.ToLower(name)] = true
	}
	if f := s.headerFiles; f != nil {
		f.mu.Lock()
		defer f.mu.Unlock()
		for name := range f.all() {
			names[strings.ToLower(name)] = true
		}
	}
	return len(names)
}

// known are the secrets that must not be logged.
func (s *settings) known() *secrets {
	if s.headerFiles != nil {
		return s.headerFiles.known()
	}
	return s.secrets
}
