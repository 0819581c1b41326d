package export

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/net/http/httpguts"
)

// Signal is what an Exporter sends, by its name in variables. The zero value is traces.
type Signal string

// The signals. Log records go to where a collector takes those.
const (
	signalTraces  Signal = "TRACES"
	signalMetrics Signal = "METRICS"
	SignalLogs    Signal = "LOGS"
)

func (s Signal) name() string { return string(cmp.Or(s, signalTraces)) }

// variable is what the names of its own variables begin with.
func (s Signal) variable() string { return "OTEL_EXPORTER_OTLP_" + s.name() + "_" }

// path is where collectors take it by HTTP.
func (s Signal) path() string { return "/v1/" + strings.ToLower(s.name()) }

// settings are a Config and its variables, read and checked: what the client
// packages are told, so that what was checked is what is used.
type settings struct {
	Config
	protocol string
	endpoint endpoint
	headers  map[string]string
	secrets  *secrets
	// headerFiles have more headers; nil for none.
	headerFiles *headerFiles
	// tls is nil for plain text.
	tls     *tlsFiles
	timeout time.Duration
	gzip    bool
	// gzipUnasked says that nobody has asked for gzip.
	gzipUnasked bool
}

// source is one place that gives a setting: its text, and the name of the
// flag or variable that it came from.
type source struct{ value, name string }

// read reads the file that a setting names.
func (s source) read() ([]byte, error) {
	text, err := os.ReadFile(s.value)
	if err != nil {
		return nil, fmt.Errorf("%s: %w; check the path, that the file is mounted there, and that rollspan's user may read it", s.name, err)
	}
	return text, nil
}

// sources lists what was given for a setting, the one that wins first. Names
// of flags and variables differ only in spelling.
func (c *Config) sources(field, key string) []source {
	var out []source
	add := func(value, name string) {
		if value = strings.TrimSpace(value); value != "" {
			out = append(out, source{value, name})
		}
	}
	add(field, "--otlp-"+strings.ToLower(strings.ReplaceAll(key, "_", "-")))
	general := "OTEL_EXPORTER_OTLP_"
	names := []string{c.Signal.variable() + key, general + key}
	if c.Signal == SignalLogs {
		names = append(names, Signal("").variable()+key)
	}
	for _, name := range names {
		add(os.Getenv(name), name)
	}
	return out
}

// pick returns what the strongest source of a setting says, or def if there is
// none.
func pick[T any](errs *[]error, def T, from []source, parse func(source) (T, error)) T {
	if len(from) == 0 {
		return def
	}
	v, err := parse(from[0])
	if err != nil {
		*errs = append(*errs, fmt.Errorf("%s: %w", from[0].name, err))
		return def
	}
	return v
}

// checkOverridden checks what can hold secrets in the sources that a stronger
// one overrides. The client packages read those all the same, and log what
// they cannot read, whole.
func checkOverridden(errs *[]error, endpoints, headers []source) {
	for _, from := range endpoints[min(1, len(endpoints)):] {
		_, err := url.Parse(from.value)
		_, _, address := net.SplitHostPort(from.value)
		if err != nil && (address != nil || strings.ContainsAny(from.value, "/@?#")) {
			*errs = append(*errs, fmt.Errorf("%s: %w", from.name, errNotURL))
		}
	}
	for _, from := range headers[min(1, len(headers)):] {
		if _, err := parseHeaders(from.value); err != nil {
			*errs = append(*errs, fmt.Errorf("%s: %w", from.name, err))
		}
	}
}

var errNotURL = errors.New("not a URL; write http://host:port, or https://host:port for TLS")

// resolve reads the environment and checks everything.
func (c *Config) resolve() (*settings, error) {
	withDefaults, err := c.withDefaults()
	var errs []error
	if err != nil {
		errs = append(errs, err)
	}
	s := &settings{Config: withDefaults}

	endpoints := c.sources(c.Endpoint, "ENDPOINT")
	s.protocol = pick(&errs, guessProtocol(endpoints), c.sources(c.Protocol, "PROTOCOL"), parseProtocol)
	insecure := pick(&errs, false, c.sources("", "INSECURE"), parseBool) || c.Insecure
	s.endpoint = pick(&errs, c.Signal.defaultEndpoint(s.protocol), endpoints, func(from source) (endpoint, error) {
		return c.Signal.parseEndpoint(from, s.protocol, insecure)
	})
	headers := c.sources(string(c.Headers), "HEADERS")
	s.headers = pick(&errs, nil, headers, func(from source) (map[string]string, error) {
		return parseHeaders(from.value)
	})
	s.secrets = newSecrets(s.headers)
	checkOverridden(&errs, endpoints, headers)
	if err := s.resolveHeaderFiles(); err != nil {
		errs = append(errs, err)
	}
	timeout := ""
	if c.Timeout != 0 {
		timeout = c.Timeout.String()
	}
	s.timeout = pick(&errs, DefaultTimeout, c.sources(timeout, "TIMEOUT"), parseTimeout)
	compression := c.sources(c.Compression, "COMPRESSION")
	// To this machine bytes cost less than their compression.
	s.gzipUnasked = len(compression) == 0 && !s.endpoint.local()
	s.gzip = pick(&errs, s.gzipUnasked, compression, parseCompression)

	s.tls, err = c.resolveTLS(s.endpoint)
	if err != nil {
		errs = append(errs, err)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return s, nil
}

// guessProtocol is the default protocol: gRPC, unless the endpoint's port is
// the one that is registered for the other.
func guessProtocol(endpoints []source) string {
	if len(endpoints) > 0 {
		if u, err := url.Parse(endpoints[0].value); err == nil && u.Port() == "4318" {
			return ProtocolHTTP
		}
	}
	return ProtocolGRPC
}

func parseProtocol(from source) (string, error) {
	switch from.value {
	case ProtocolGRPC, ProtocolHTTP:
		return from.value, nil
	}
	return "", fmt.Errorf("%q is not a protocol that rollspan speaks: use %q or %q", from.value, ProtocolGRPC, ProtocolHTTP)
}

func parseBool(from source) (bool, error) {
	switch strings.ToLower(from.value) {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, fmt.Errorf("%q is neither true nor false", from.value)
}

func parseCompression(from source) (bool, error) {
	switch from.value {
	case "gzip":
		return true, nil
	case "none":
		return false, nil
	}
	return false, fmt.Errorf("%q is not a compression that rollspan knows: use gzip or none", from.value)
}

func parseTimeout(from source) (time.Duration, error) {
	d, err := time.ParseDuration(from.value)
	if strings.HasPrefix(from.name, "OTEL_") {
		var ms int
		if ms, err = strconv.Atoi(from.value); err != nil {
			return 0, fmt.Errorf("%q is not a number of milliseconds: for 10 seconds write 10000", from.value)
		}
		d = time.Duration(ms) * time.Millisecond
	}
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("%q is not a time that a request can take: it must be more than 0", from.value)
	}
	return d, nil
}

// parseHeaders reads name=value,name=value. Its errors repeat nothing of it, since
// what looks like a name may be a part of a value with a comma.
func parseHeaders(s string) (map[string]string, error) {
	headers := map[string]string{}
	for i, pair := range strings.Split(s, ",") {
		if strings.TrimSpace(pair) == "" {
			continue
		}
		name, value, ok := strings.Cut(pair, "=")
		name = strings.TrimSpace(name)
		if !ok || !httpguts.ValidHeaderFieldName(name) {
			return nil, fmt.Errorf("entry %d is not name=value; write name=value,name=value and percent-encode commas in values", i+1)
		}
		value, err := url.PathUnescape(value)
		value = strings.TrimSpace(value)
		if err != nil || !httpguts.ValidHeaderFieldValue(value) {
			return nil, fmt.Errorf("the value of entry %d is not percent-encoded text; a percent sign itself is written %%25", i+1)
		}
		headers[name] = value
	}
	return headers, nil
}

// endpoint is where a client connects to.
type endpoint struct {
	// target is what the user is told, and what a client is given: a URL, or
	// for gRPC over a Unix socket unix:///path.
	target string
	plain  bool
}

func (s Signal) defaultEndpoint(protocol string) endpoint {
	if protocol == ProtocolHTTP {
		return endpoint{target: "http://localhost:4318" + s.path(), plain: true}
	}
	return endpoint{target: "http://localhost:4317", plain: true}
}

// parseEndpoint reads an endpoint. Its errors repeat no more of it than the
// host, because people put passwords into URLs.
func (s Signal) parseEndpoint(from source, protocol string, insecure bool) (endpoint, error) {
	if !strings.Contains(from.value, "://") {
		return parseAddress(from.value, protocol, insecure)
	}
	u, err := url.Parse(from.value)
	if err != nil {
		return endpoint{}, errNotURL
	}
	u.Scheme = strings.ToLower(u.Scheme)
	switch {
	case u.User != nil:
		return endpoint{}, errors.New("a password in the URL would not be sent; use --otlp-headers or OTEL_EXPORTER_OTLP_HEADERS")
	case u.RawQuery != "" || u.Fragment != "":
		return endpoint{}, errors.New("what follows ? or # in the URL would not be sent; leave it out")
	case u.Scheme == "unix" && protocol == ProtocolGRPC:
		return endpoint{target: u.String(), plain: true}, nil
	case u.Scheme != "http" && u.Scheme != "https":
		return endpoint{}, fmt.Errorf("%q is not a scheme that rollspan knows; write http://host:port, or https://host:port for TLS", u.Scheme)
	case u.Hostname() == "":
		return endpoint{}, errors.New("the URL has no host; write http://host:port, or https://host:port for TLS")
	case protocol == ProtocolGRPC && u.Scheme == "http" && u.Port() == "":
		// Port 80 by the rules of URLs, 443 by those of the gRPC library:
		// neither is meant.
		return endpoint{}, fmt.Errorf("the URL has no port; for gRPC write http://%s:4317", u.Host)
	}
	if protocol == ProtocolGRPC {
		return endpoint{target: u.Scheme + "://" + u.Host, plain: u.Scheme == "http"}, nil
	}
	// The specification wants the variable of one signal taken as it is, and
	// the general one as the base of all signals.
	if from.name != s.variable()+"ENDPOINT" && !strings.HasSuffix(u.Path, s.path()) {
		// One that names the path of traces is the base of other signals without it.
		u.Path = path.Join(strings.TrimSuffix(u.Path, signalTraces.path()), s.path())
	}
	if u.Path == "" {
		u.Path = "/"
	}
	return endpoint{target: u.String(), plain: u.Scheme == "http"}, nil
}

// parseAddress reads host:port.
func parseAddress(address, protocol string, insecure bool) (endpoint, error) {
	host, port, err := net.SplitHostPort(address)
	if protocol != ProtocolGRPC {
		return endpoint{}, errors.New("for http/protobuf the endpoint must be a URL: write http://host:4318, or https://host:4318 for TLS")
	}
	if err != nil || host == "" || port == "" || strings.ContainsAny(address, "/@?#") {
		return endpoint{}, errors.New("neither a URL nor host:port; write http://host:4317, or https://host:4317 for TLS")
	}
	if insecure {
		return endpoint{target: "http://" + address, plain: true}, nil
	}
	return endpoint{target: "https://" + address}, nil
}

// resolveTLS reads the certificate files.
func (c *Config) resolveTLS(to endpoint) (*tlsFiles, error) {
	strongest := func(field, key string) source {
		if all := c.sources(field, key); len(all) > 0 {
			return all[0]
		}
		return source{}
	}
	ca := strongest(c.Certificate, "CERTIFICATE")
	cert := strongest(c.ClientCertificate, "CLIENT_CERTIFICATE")
	key := strongest(c.ClientKey, "CLIENT_KEY")

	if to.plain {
		for _, from := range []source{ca, cert, key} {
			if from.value != "" {
				// The client packages disagree: one would use TLS, the
				// other refuse to start.
				return nil, fmt.Errorf("%s: the endpoint %s is plain text, which knows no certificates; "+
					"write https:// or leave the certificate out", from.name, to.target)
			}
		}
		return nil, nil
	}

	switch {
	case cert.value == "" && key.value != "":
		return nil, fmt.Errorf("%s: a key needs its certificate; set --otlp-client-certificate too", key.name)
	case cert.value != "" && key.value == "":
		return nil, fmt.Errorf("%s: a certificate needs its key; set --otlp-client-key too", cert.name)
	}
	files := &tlsFiles{renewed: renewed{what: "certificates"}, ca: ca, cert: cert, key: key}
	return files, files.read()
}

// warn says what can be read on the way to the collector, and ought not to be.
func (s *settings) warn(log logr.Logger) {
	headers := s.headerCount()
	if headers == 0 || !s.endpoint.plain || s.endpoint.local() {
		return
	}
	slog.New(logr.ToSlogHandler(log)).Warn("Headers, which mostly are credentials, go to the OTLP collector in plain text: "+
		"whoever is on the way can read them; use an endpoint with https://", "endpoint", s.endpoint.target, "headers", headers)
}

// local says whether nobody can be on the way.
func (e endpoint) local() bool {
	u, err := url.Parse(e.target)
	if err != nil {
		return false
	}
	host := strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
	return u.Scheme == "unix" || host == "localhost" || strings.HasSuffix(host, ".localhost") || net.ParseIP(host).IsLoopback()
}
