package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/version"
	authenticationclient "k8s.io/client-go/kubernetes/typed/authentication/v1"
	"k8s.io/client-go/rest"
)

// testedMinors are the minor versions of Kubernetes 1 that the end-to-end tests were run against,
// by make test and make compat: docs/stability.md. rollspan is for these, and for what is between.
var testedMinors = []int{34, 36, 37}

// answer is what the API server said of itself.
type answer struct {
	version version.Info
	// date is the server's clock when it answered, to the second; zero if it did not say.
	date time.Time
	// asked and answered are when that was, by our clock.
	asked, answered time.Time
}

// server looks whether the API server answers, in which version and with which clock. It
// reports whether there is any use in asking more.
func (e *examination) server(ctx context.Context) bool {
	if e.Config == nil {
		e.add(Finding{Check: "server", Status: Failed, Reason: "kubeconfig", Found: e.ConfigError.Error()})
		return false
	}
	client, base, err := raw(e.Config)
	if err != nil {
		e.add(Finding{Check: "server", Status: Failed, Reason: "kubeconfig", Found: err.Error(), Do: "correct the kubeconfig"})
		return false
	}
	// The first request connects, and the second one has the time to itself.
	a, err := ask(ctx, client, base, e.Now)
	if err == nil {
		a, err = ask(ctx, client, base, e.Now)
	}
	if err != nil {
		reason, do := trouble(err)
		e.add(Finding{Check: "server", Status: Failed, Reason: reason, Found: fmt.Sprintf("%s: %v", base, err), Do: do})
		return false
	}
	found := fmt.Sprintf("%s answers", base)
	if who := e.whoami(ctx); who != "" {
		found += ", and knows rollspan as " + who
	}
	e.ok("server", found)
	e.add(supported(a.version))
	e.add(clockOf(a))
	return true
}

// raw is an HTTP client with the credentials of a configuration, and where the server is.
func raw(config *rest.Config) (*http.Client, string, error) {
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, "", err
	}
	base, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return nil, "", err
	}
	return client, strings.TrimSuffix(base.String(), "/"), nil
}

// statusError is an answer that is none.
type statusError struct {
	code int
	said string
}

func (s *statusError) Error() string {
	return strings.TrimSuffix(fmt.Sprintf("%d %s: %s", s.code, http.StatusText(s.code), s.said), ": ")
}

// mostAnswer is far more than a server has to say of its version.
const mostAnswer = 64 << 10

// patience is how long a request may take.
const patience = 10 * time.Second

// ask requests /version, which everybody may read.
func ask(ctx context.Context, client *http.Client, base string, now func() time.Time) (a answer, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/version", http.NoBody)
	if err != nil {
		return a, err
	}
	a.asked = now()
	response, err := client.Do(request)
	if err != nil {
		return a, err
	}
	a.answered = now()
	defer func() { _ = response.Body.Close() }() // it was only read
	body, err := io.ReadAll(io.LimitReader(response.Body, mostAnswer))
	if err != nil {
		return a, err
	}
	if response.StatusCode != http.StatusOK {
		var status metav1.Status
		_ = json.Unmarshal(body, &status) // who is no API server has another form
		return a, &statusError{response.StatusCode, status.Message}
	}
	if err := json.Unmarshal(body, &a.version); err != nil || a.version.GitVersion == "" {
		return a, errors.New("what answers there is no API server of Kubernetes")
	}
	a.date, _ = http.ParseTime(response.Header.Get("Date")) // zero where it does not say
	return a, nil
}

// trouble says why the API server does not answer, in a word, and what to do.
func trouble(err error) (reason, do string) {
	var status *statusError
	var name *net.DNSError
	var host x509.HostnameError
	var unknown x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	var plain tls.RecordHeaderError
	var timeout net.Error
	switch {
	case errors.As(err, &status) && status.code == http.StatusUnauthorized, apierrors.IsUnauthorized(err):
		return "credentials", "renew the credentials: the token or certificate is not known, or has expired"
	case errors.As(err, &status) && status.code == http.StatusForbidden:
		return "forbidden", "bind who this is to the ClusterRole system:public-info-viewer, which everybody has by default; " +
			"whether a proxy in between refuses it is the other question"
	case errors.As(err, &status):
		return "failed", "look into the logs of the API server, or of what is in front of it"
	case errors.As(err, &name):
		return "name", "the server's host name is not known here: correct the kubeconfig, or the machine's DNS"
	case errors.As(err, &host):
		return "tls", "the server's certificate is for other names: use one of them in the kubeconfig"
	case errors.As(err, &unknown):
		return "tls", "the server's certificate is of an authority that the kubeconfig does not name: correct certificate-authority there"
	case errors.As(err, &invalid):
		return "tls", "the server's certificate is not valid (anymore, or yet): renew it, and check the clocks"
	case isAlert(err, "certificate"):
		return "tls", "the server refuses the client certificate: renew it, or what the kubeconfig has for it"
	case isAlert(err, ""):
		return "tls", "the server ends the TLS handshake: correct host, port and tls-server-name in the kubeconfig; the log of the server, or of what is in front of it, says why"
	case errors.As(err, &plain), strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		return "protocol", "what answers there speaks no TLS: correct host and port in the kubeconfig"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused", "nothing listens there: check that the API server runs, and host and port in the kubeconfig"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "silent", "the host does not answer: check host and port, and that no firewall, NetworkPolicy or missing VPN is in the way"
	}
	return "failed", "check host and port in the kubeconfig, and that a kubectl with the same one works"
}

// isAlert reports whether a server has ended TLS with an alert, of which crypto/tls exports no type. Those
// about the client's certificate have that word (RFC 8446, section 6.2).
func isAlert(err error, about string) bool {
	_, alert, is := strings.Cut(err.Error(), "remote error: tls: ")
	return is && strings.Contains(alert, about)
}

// Advice is what to do about a request that the API server did not answer, or for which it does not
// know who asks, as far as the error tells.
func Advice(err error) string {
	_, do := trouble(err)
	return do
}

// supported judges a version.
func supported(v version.Info) Finding {
	var names []string
	for _, minor := range testedMinors {
		names = append(names, fmt.Sprintf("1.%d", minor))
	}
	tested := "rollspan is tested with " + strings.Join(names, ", ")
	f := Finding{Check: "version", Status: OK, Found: "Kubernetes " + v.GitVersion + "; " + tested}
	minor, err := strconv.Atoi(strings.TrimRight(v.Minor, "+"))
	switch {
	case err != nil || v.Major != "1":
		f.Status, f.Reason, f.Found = Warning, "unknown", "Kubernetes "+v.GitVersion+": nobody knows this version; "+tested
	case minor < testedMinors[0]:
		f.Status, f.Reason, f.Found = Warning, "old", "Kubernetes "+v.GitVersion+" is older than what rollspan was tried with; "+tested
		f.Do = "look at some traces before you rely on them; Kubernetes itself maintains its last three minor versions"
	case minor > testedMinors[len(testedMinors)-1]:
		f.Status, f.Reason, f.Found = Warning, "new", "Kubernetes "+v.GitVersion+" is newer than what this rollspan was tried with; "+tested
		f.Do = "look for a newer rollspan"
	}
	return f
}

// offBy is how far clocks may differ: the engine corrects what is beyond, but for what only the
// journal and Leases know.
const offBy = 2 * time.Second

// clockOf compares the clocks. The server's is stated to the second, and was read between the
// request and the answer.
func clockOf(a answer) Finding {
	if a.date.IsZero() {
		return Finding{Check: "clock", Status: Skipped, Found: "the API server does not say what time it is"}
	}
	least, most := a.asked.Sub(a.date.Add(time.Second)), a.answered.Sub(a.date)
	between := fmt.Sprintf("between %s and %s", round(least), round(most))
	switch {
	case least > offBy:
		return Finding{Check: "clock", Status: Warning, Reason: "ahead",
			Found: "the clock here is ahead of the API server's, by " + between,
			Do:    "synchronize both by NTP; until then rollspan corrects what it dates by its own clock"}
	case most < -offBy:
		return Finding{Check: "clock", Status: Warning, Reason: "behind",
			Found: fmt.Sprintf("the clock here is behind the API server's, by between %s and %s", round(-most), round(-least)),
			Do:    "synchronize both by NTP; until then rollspan corrects what it dates by its own clock"}
	}
	return Finding{Check: "clock", Status: OK, Found: "as that of the API server, as far as a second tells"}
}

func round(d time.Duration) time.Duration {
	if d.Abs() > 10*time.Second {
		return d.Round(time.Second)
	}
	return d.Round(100 * time.Millisecond)
}

// whoami is the user whom the API server takes us for; empty if it does not say.
func (e *examination) whoami(ctx context.Context) string {
	client, err := authenticationclient.NewForConfig(e.Config)
	if err != nil {
		return ""
	}
	review, err := client.SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil {
		return ""
	}
	return review.Status.UserInfo.Username
}
