package webhook

import (
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/rollspan/rollspan/pkg/otlp/export"
)

// verdict is what the answer to a request means for its event.
type verdict int

const (
	// taken: somebody has it.
	taken verdict = iota
	// away: nobody answers, or somebody who says "not now".
	away
	// wrong: it is somebody else, or the credentials are not right. People have to see to it.
	wrong
	// failing: the receiver fails, which may be for this event or not.
	failing
	// refused: the receiver does not want this event.
	refused
)

// answer is what came back for one request.
type answer struct {
	verdict verdict
	// words are for the log: without secrets.
	words string
	// answered says that there was an answer.
	answered bool
	// after is how long the receiver asks to be left alone; 0 if it does not.
	after time.Duration
}

const (
	// maxWords is how much of an answer is read for the log, and maxRest how much so that the
	// connection can be used again, in bytes.
	maxWords = 4 << 10
	maxRest  = 64 << 10
	// maxAfter bounds how long a receiver can ask to be left alone.
	maxAfter = 30 * time.Minute
)

// read reads the answer to a request. By the specification of CloudEvents' web hooks any 2xx
// says that the event was taken, so what comes behind that, or breaks off, does not matter.
func read(p *export.Peer, response *http.Response, err error) answer {
	if err != nil {
		return answer{verdict: away, words: p.Quotable(err.Error())}
	}
	defer func() { _ = response.Body.Close() }()                       // it was only read
	body, _ := io.ReadAll(io.LimitReader(response.Body, maxWords))     // what broke off is said as far as it came
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, maxRest)) // else the connection is not used again
	a := answer{
		verdict: judge(response.StatusCode), answered: true, after: min(export.RetryAfter(response), maxAfter),
		words: strconv.Itoa(response.StatusCode) + " " + http.StatusText(response.StatusCode),
	}
	said := string(body)
	if code := response.StatusCode; code >= 300 && code < 400 {
		said = "it leads elsewhere, which is not followed"
		if to, err := url.Parse(response.Header.Get("Location")); err == nil && to.Host != "" {
			said = "it leads to " + to.Scheme + "://" + to.Host + ", which is not followed"
		}
	} else if code == http.StatusUnauthorized || code == http.StatusForbidden {
		said = "" // about credentials a server may say anything, in any form
	}
	if said = p.Quotable(said); said != "" {
		a.words += ": " + said
	}
	return a
}

func judge(code int) verdict {
	switch {
	case code >= 200 && code <= 299:
		return taken
	case code == http.StatusRequestTimeout, code == http.StatusTooEarly, code == http.StatusTooManyRequests,
		code == http.StatusBadGateway, code == http.StatusServiceUnavailable, code == http.StatusGatewayTimeout:
		return away
	case code < 400, code == http.StatusUnauthorized, code == http.StatusForbidden, code == http.StatusNotFound,
		code == http.StatusMethodNotAllowed, code == http.StatusProxyAuthRequired, code == http.StatusMisdirectedRequest:
		return wrong
	case code < 500:
		return refused
	}
	return failing
}

// advice says what to look at.
func (a *answer) advice() string {
	switch {
	case a.verdict == wrong:
		return "check --webhook-url and the headers in --webhook-headers-file"
	case a.verdict == failing, a.answered:
		return "look into the receiver's own log"
	}
	return "check that the receiver runs and is reached at --webhook-url, and that no NetworkPolicy is in the way"
}
