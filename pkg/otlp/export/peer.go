package export

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-logr/logr"
)

// PeerConfig says how to reach somebody who takes requests by HTTP and is no collector. What it
// names by files is treated as that of Config is: read again for each request, and kept
// secret.
type PeerConfig struct {
	// Flags is what the names of the flags begin with, for errors: "--webhook-" where the URL is
	// that of --webhook-url.
	Flags string
	// URL is where requests go, http or https. Its path and its query may be secret, and are
	// never logged.
	URL string
	// HeadersFile is a file with the headers of each request, name=value, one a line. Default
	// none.
	HeadersFile string
	// Certificate is the file (PEM) that the peer's certificate is verified against. Default:
	// the system's certificates.
	Certificate string
	// ClientCertificate and ClientKey are the files (PEM) with rollspan's own certificate.
	// Default none.
	ClientCertificate, ClientKey string
	// Timeout is how long one request may take. Default DefaultTimeout.
	Timeout time.Duration
}

// Peer is who a PeerConfig leads to.
type Peer struct {
	settings *settings
	url      *url.URL
	client   *http.Client
}

// NewPeer reads the files, checks all of c, and asks nobody. Its errors name the flag.
func NewPeer(c PeerConfig, log logr.Logger) (*Peer, error) {
	to, err := url.Parse(strings.TrimSpace(c.URL))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%surl: it is no URL; write https://host/path", c.Flags) // err repeats what may be secret
	case to.Scheme != "http" && to.Scheme != "https" || to.Hostname() == "":
		return nil, fmt.Errorf("%surl: it does not begin with https://host or http://host; write one of these", c.Flags)
	case to.User != nil:
		return nil, fmt.Errorf("%surl: a password in the URL would be shown; write a header Authorization into the file of %sheaders-file", c.Flags, c.Flags)
	case to.Fragment != "":
		return nil, fmt.Errorf("%surl: what follows # would not be sent; leave it out", c.Flags)
	}
	s := &settings{timeout: cmp.Or(c.Timeout, DefaultTimeout), endpoint: endpoint{target: to.Scheme + "://" + to.Host, plain: to.Scheme == "http"}}
	if s.timeout < 0 {
		return nil, fmt.Errorf("%stimeout: %s is not a time that a request can take; it must be more than 0", c.Flags, s.timeout)
	}
	// Whoever answers may repeat the URL, too.
	s.secrets = newSecrets(map[string]string{"path": to.Path, "query": to.RawQuery})
	if err := errors.Join(c.resolveHeaders(s, to), c.resolveTLS(s)); err != nil {
		return nil, err
	}
	s.logTo(log)
	if s.headerFiles != nil && s.endpoint.plain && !s.endpoint.local() {
		slog.New(logr.ToSlogHandler(log)).Warn("Headers, which mostly are credentials, are sent in plain text: "+
			"whoever is on the way can read them; use a URL with https://", "setting", c.Flags+"url", "endpoint", s.endpoint.target)
	}
	return &Peer{settings: s, url: to, client: s.httpClient()}, nil
}

func (c *PeerConfig) resolveHeaders(s *settings, to *url.URL) error {
	if strings.TrimSpace(c.HeadersFile) == "" {
		return nil
	}
	s.headerFiles = &headerFiles{
		renewed: renewed{what: "headers"},
		list:    source{strings.TrimSpace(c.HeadersFile), c.Flags + "headers-file"},
		fixed:   map[string]string{"path": to.Path, "query": to.RawQuery},
	}
	return s.headerFiles.read()
}

func (c *PeerConfig) resolveTLS(s *settings) error {
	files := &tlsFiles{
		renewed: renewed{what: "certificates"},
		ca:      source{c.Certificate, c.Flags + "certificate"},
		cert:    source{c.ClientCertificate, c.Flags + "client-certificate"},
		key:     source{c.ClientKey, c.Flags + "client-key"},
	}
	for _, from := range []source{files.ca, files.cert, files.key} {
		if s.endpoint.plain && from.value != "" {
			return fmt.Errorf("%s: the URL is plain text, which knows no certificates; write https:// or leave the certificate out", from.name)
		}
	}
	switch {
	case s.endpoint.plain:
		return nil
	case (files.cert.value == "") != (files.key.value == ""):
		return fmt.Errorf("%s, %s: a certificate needs its key, and a key its certificate; set both", files.cert.name, files.key.name)
	}
	s.tls = files
	return files.read()
}

// Place is where requests go, for people: without what may be secret of the URL.
func (p *Peer) Place() string { return p.settings.endpoint.target }

// Timeout is how long one request may take.
func (p *Peer) Timeout() time.Duration { return p.settings.timeout }

// URL is where requests go. It must not be printed: see PeerConfig.
func (p *Peer) URL() string { return p.url.String() }

// Do makes a request to URL. It follows nobody elsewhere: the answer may be a redirect. The error
// has no URL in it.
func (p *Peer) Do(r *http.Request) (*http.Response, error) {
	response, err := p.client.Do(r)
	if of, ok := errors.AsType[*url.Error](err); ok {
		err = of.Err
	}
	return response, err
}

// Quotable makes of what the peer, or the network, has said one short line that repeats no
// secret.
func (p *Peer) Quotable(words string) string { return quotable(words, p.settings.known()) }

// RetryAfter is how long an answer asks to be left alone; 0 if it does not.
func RetryAfter(r *http.Response) time.Duration { return retryAfter(r.Header.Get("Retry-After")) }
