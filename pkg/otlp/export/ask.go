package export

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"syscall"
	"time"
)

// Reason is why a collector takes no spans, for programs.
type Reason string

// The reasons.
const (
	// ReasonName: its host name is not known, or cannot be looked up.
	ReasonName Reason = "name"
	// ReasonRefused: its host is there, and nothing listens on the port.
	ReasonRefused Reason = "refused"
	// ReasonNetwork: no way leads to its host.
	ReasonNetwork Reason = "network"
	// ReasonSilent: its host does not answer at all, as behind a NetworkPolicy or a firewall.
	ReasonSilent Reason = "silent"
	// ReasonSlow: it was reached, and did not answer in time.
	ReasonSlow Reason = "slow"
	// ReasonTLS: a certificate, its or rollspan's, is not accepted.
	ReasonTLS Reason = "tls"
	// ReasonProtocol: something else than what was expected is spoken there.
	ReasonProtocol Reason = "protocol"
	// ReasonCredentials: the credentials are missing, wrong or not enough.
	ReasonCredentials Reason = "credentials"
	// ReasonBusy: it asks to be left alone for now.
	ReasonBusy Reason = "busy"
	// ReasonFailed: it was reached, and failed; or nobody knows.
	ReasonFailed Reason = "failed"
)

// Asked is what came of asking a collector for an answer.
type Asked struct {
	// Endpoint is where it is, and Protocol what is spoken with it.
	Endpoint, Protocol string
	// Addresses are those of its host name; Proxy is who is asked instead. Both are empty for
	// an address, a Unix socket and where the name is not known.
	Addresses []string
	Proxy     string
	// Reason is why it takes no spans; empty if it does.
	Reason Reason
	// Said is what it, or the network, has said, without secrets, and Check what to look at.
	Said, Check string
	// Plain says that it takes no compressed requests, of which nobody has said that they
	// should be. An Exporter finds that out, too.
	Plain bool
	// Took is how long the answer took.
	Took time.Duration
}

// Ask makes one request without spans, as an Exporter does at its start, and says what is
// wrong. Before that it looks the name up and connects, as these tell better than a failed
// request what is in the way. An error is about c.
func Ask(ctx context.Context, c Config) (Asked, error) {
	s, err := c.resolve()
	if err != nil {
		return Asked{}, err
	}
	asked := Asked{Endpoint: s.endpoint.target, Protocol: s.protocol}
	started := time.Now()
	if a := asked.connect(ctx, s); a != nil {
		a.tell(s)
		asked.Reason, asked.Said, asked.Check = reasonOf(a), a.words, a.check
		return asked, nil
	}
	a, err := askOnce(ctx, s)
	if err != nil {
		return Asked{}, err
	}
	if s.gzipUnasked && a.mayMeanCompression() {
		plain := *s
		plain.gzip = false
		if again, err := askOnce(ctx, &plain); err == nil && again.verdict == accepted {
			a, asked.Plain = again, true
		}
	}
	asked.Took = time.Since(started)
	switch a.verdict {
	case accepted:
	case refused, tooLarge:
		// It is there. What it says of a request without spans means nothing for spans.
		asked.Said = a.words
	default:
		asked.Reason, asked.Said, asked.Check = reasonOf(&a), a.words, a.check
	}
	return asked, nil
}

// connect looks the endpoint's name up and connects, and returns what came of that if it
// failed. Where a proxy does that, or a Unix socket is named, it does nothing.
func (asked *Asked) connect(ctx context.Context, s *settings) *answer {
	u, err := url.Parse(s.endpoint.target)
	if err != nil || u.Scheme == "unix" {
		return nil
	}
	// By gRPC, whatever is asked, a proxy has to let the connection through as it is.
	through := &url.URL{Scheme: "https", Host: u.Host}
	if s.protocol == ProtocolHTTP {
		through.Scheme = u.Scheme
	}
	if proxy, err := http.ProxyFromEnvironment(&http.Request{URL: through}); err == nil && proxy != nil {
		asked.Proxy = proxy.Host
		return nil
	}
	port := cmp.Or(u.Port(), map[string]string{"http": "80", "https": "443"}[u.Scheme])
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	if net.ParseIP(u.Hostname()) == nil {
		if asked.Addresses, err = net.DefaultResolver.LookupHost(ctx, u.Hostname()); err != nil {
			return &answer{verdict: unreachable, said: wordsOfLookup(err)}
		}
		slices.Sort(asked.Addresses)
	}
	connection, err := (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		return &answer{verdict: unreachable, said: wordsOfDial(err)}
	}
	_ = connection.Close() // nothing was written
	return nil
}

// wordsOfLookup are an error's in words that reasons knows, whatever the system's resolver is.
func wordsOfLookup(err error) string {
	if failed, ok := errors.AsType[*net.DNSError](err); ok && failed.IsNotFound {
		return fmt.Sprintf("lookup %s: no such host", failed.Name)
	}
	return err.Error()
}

func wordsOfDial(err error) string {
	if failed, ok := errors.AsType[net.Error](err); ok && failed.Timeout() && !errors.Is(err, syscall.ECONNREFUSED) {
		return err.Error() + ": i/o timeout"
	}
	return err.Error()
}

// askOnce makes a request without spans.
func askOnce(ctx context.Context, s *settings) (answer, error) {
	client := newClient(s)
	if err := client.Start(ctx); err != nil {
		return answer{}, err
	}
	defer func() { _ = client.Stop(context.WithoutCancel(ctx)) }() // nothing waits in there
	return s.upload(ctx, client, nil), nil
}

// reasonOf is what is wrong, by the same words as its advice.
func reasonOf(a *answer) Reason {
	switch a.verdict {
	case denied:
		return ReasonCredentials
	case throttled:
		return ReasonBusy
	case misdirected:
		return ReasonProtocol
	case unsure:
		return ReasonFailed
	}
	if known := reasonIn(a.status + " " + a.said); known != nil {
		return known.reason
	}
	return ReasonFailed
}
