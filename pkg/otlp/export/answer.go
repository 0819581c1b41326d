package export

import (
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// verdict is what the answer to a request means for its spans. Only the
// verdicts about the spans themselves ever cost one; what somebody can put
// right elsewhere (a collector, a password, a URL) is waited for.
type verdict int

const (
	// unanswered is what a request without any answer starts from.
	unanswered verdict = iota
	// accepted: the collector has the spans.
	accepted
	// unreachable: nobody answered, or somebody who said "not now".
	unreachable
	// throttled: the collector is there and wants less, or later.
	throttled
	// denied: the credentials are missing, wrong or not enough.
	denied
	// misdirected: this is no OTLP endpoint.
	misdirected
	// unsure: the collector failed, which may be for these spans or not.
	unsure
	// tooLarge: fewer spans might pass.
	tooLarge
	// refused: something in these spans is not acceptable.
	refused
)

// answer is what came back for one request.
type answer struct {
	verdict verdict
	// status is the one of the protocol, in its own words; empty if there is
	// none. said is what the collector, the network, or whoever is in between
	// has said. It can be anything.
	status, said string
	// words and check are both of these as they are logged, and what to look
	// at; see tell.
	words, check string
	// after is how long the collector asks to be left alone; 0 if it does not.
	after time.Duration
	// rejected is how many spans of an accepted request were refused.
	rejected int64
}

// answerOfGRPC reads the outcome of a call.
func answerOfGRPC(err error, response *coltracepb.ExportTraceServiceResponse) answer {
	if err == nil {
		return answerOfSuccess(response)
	}
	st := status.Convert(err)
	if isUnreadable(st) {
		// A message is the answer to a request that was accepted; to others
		// there is only a status. To ask again would give the same.
		return answer{verdict: accepted, said: "the answer cannot be read: " + st.Message()}
	}
	a := answer{status: st.Code().String(), said: st.Message()}
	info := false
	for _, detail := range st.Details() {
		if retry, ok := detail.(*errdetails.RetryInfo); ok {
			info, a.after = true, retry.GetRetryDelay().AsDuration()
		}
	}
	switch st.Code() {
	case codes.ResourceExhausted:
		// One code for two things: "the request is too large" (by the gRPC
		// libraries) and "I have too much to do" (by collectors, who should
		// add a RetryInfo, and often do not).
		if a.verdict = throttled; !info && speaksOfSize(st.Message()) {
			a.verdict = tooLarge
		}
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled, codes.Aborted, codes.OutOfRange, codes.DataLoss:
		a.verdict = unreachable
	case codes.Unauthenticated, codes.PermissionDenied:
		a.verdict = denied
	case codes.Unimplemented, codes.NotFound:
		a.verdict = misdirected
	case codes.Internal:
		if a.verdict = unsure; strings.Contains(st.Message(), "header list size exceeded") {
			// What the answer is cannot be known: it is beyond maxAnswer.
			a.verdict = unreachable
		}
	case codes.InvalidArgument, codes.FailedPrecondition, codes.AlreadyExists:
		a.verdict = refused
	default:
		a.verdict = unsure
	}
	return a
}

// isUnreadable recognizes what our own gRPC library says of an answer that it
// cannot read. A server's library says the same of a request that is too large,
// but with the server's limit.
func isUnreadable(st *status.Status) bool {
	switch st.Code() {
	case codes.ResourceExhausted:
		return strings.Contains(st.Message(), "larger than max") && strings.Contains(st.Message(), strconv.Itoa(maxGRPCAnswer))
	case codes.Internal:
		return strings.Contains(st.Message(), "failed to unmarshal the received message")
	}
	return false
}

// speaksOfSize recognizes what the gRPC libraries of Go, C++ and Java say of a
// message above the receiver's limit, and the clients' own limit.
func speaksOfSize(message string) bool {
	m := strings.ToLower(message)
	return strings.Contains(m, "larger than max") ||
		strings.Contains(m, "exceeds maximum size") ||
		strings.Contains(m, "too large")
}

// speaksOfCompression recognizes what collectors say that do not know how a request is
// compressed: gRPC's libraries in words, others by a status.
func speaksOfCompression(words string) bool {
	return strings.Contains(words, "ecompressor") || strings.Contains(words, "grpc-encoding") || strings.HasPrefix(words, "415 ")
}

// mayMeanCompression says whether an answer may mean that the collector takes no compressed
// requests.
func (a *answer) mayMeanCompression() bool {
	return a.verdict == refused || a.verdict == misdirected && speaksOfCompression(a.status+" "+a.said)
}

// answerOfHTTP reads the outcome of a request that was answered.
func answerOfHTTP(response *http.Response, body []byte) answer {
	mediaType, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type"))
	code := response.StatusCode
	if code >= 200 && code <= 299 {
		switch mediaType {
		case "text/html":
			// A proxy's or a web page's friendly 200 is no acknowledgement.
			return answer{verdict: misdirected, status: statusOf(code), said: "a web page"}
		case "application/x-protobuf":
			var message coltracepb.ExportTraceServiceResponse
			if proto.Unmarshal(body, &message) == nil {
				return answerOfSuccess(&message)
			}
		}
		return answer{verdict: accepted}
	}

	a := answer{status: statusOf(code), said: wordsOf(mediaType, body), after: retryAfter(response.Header.Get("Retry-After"))}
	switch {
	case code == http.StatusTooManyRequests:
		a.verdict = throttled
	case code == http.StatusRequestTimeout, code == http.StatusBadGateway,
		code == http.StatusServiceUnavailable, code == http.StatusGatewayTimeout:
		a.verdict = unreachable
	case code == http.StatusUnauthorized, code == http.StatusForbidden, code == http.StatusProxyAuthRequired:
		a.verdict = denied
	case code == http.StatusRequestEntityTooLarge:
		a.verdict = tooLarge
	case code < 400, code == http.StatusNotFound, code == http.StatusMethodNotAllowed,
		code == http.StatusNotAcceptable, code == http.StatusUnsupportedMediaType,
		code == http.StatusMisdirectedRequest:
		a.verdict = misdirected
		if location := response.Header.Get("Location"); location != "" {
			a.said = "it leads to " + placeOf(location)
		}
	case code < 500:
		a.verdict = refused
	default:
		a.verdict = unsure
	}
	return a
}

func answerOfSuccess(response *coltracepb.ExportTraceServiceResponse) answer {
	partial := response.GetPartialSuccess()
	return answer{verdict: accepted, rejected: partial.GetRejectedSpans(), said: partial.GetErrorMessage()}
}

// statusOf is a status in the words of the standard. Those of the server can be
// anything.
func statusOf(code int) string {
	if text := http.StatusText(code); text != "" {
		return strconv.Itoa(code) + " " + text
	}
	return strconv.Itoa(code)
}

// placeOf is the part of a URL that is no secret: logins put theirs into queries.
func placeOf(location string) string {
	u, err := url.Parse(location)
	if err != nil {
		return "what is no URL"
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

// sentence joins a status and what was said of it, if anything was.
func sentence(status, words string) string {
	if words == "" {
		return status
	}
	return status + ": " + words
}

// wordsOf finds the text in the body of an HTTP error, which by the
// specification is a Status message.
func wordsOf(mediaType string, body []byte) string {
	if mediaType == "application/x-protobuf" {
		var message rpcstatus.Status
		if proto.Unmarshal(body, &message) == nil {
			return message.GetMessage()
		}
		return ""
	}
	return string(body)
}

// retryAfter reads the header of that name: seconds, or a date.
func retryAfter(v string) time.Duration {
	if seconds, err := strconv.ParseInt(v, 10, 32); err == nil {
		return time.Duration(max(seconds, 0)) * time.Second
	}
	if date, err := http.ParseTime(v); err == nil {
		return max(time.Until(date), 0)
	}
	return 0
}

// maxWords is how much of what a collector says is logged, in bytes.
const maxWords = 512

// ellipsis ends words that were cut.
const ellipsis = "…"

// hidden stands for words that repeat a secret.
const hidden = "(what was said is not shown: it repeats a part of a header's value, or of a password)"

// quotable makes words fit for a log: one short line, without secrets.
func quotable(words string, known *secrets) string {
	if len(words) > 4*maxWords {
		words = words[:4*maxWords] // There may be megabytes.
	}
	words = strings.Join(strings.FieldsFunc(strings.ToValidUTF8(words, ""), func(r rune) bool {
		return unicode.IsSpace(r) || !unicode.IsPrint(r)
	}), " ")
	if len(words) > maxWords {
		words = words[:maxWords] + ellipsis
	}
	words = strings.ToValidUTF8(words, "")
	if known.in(words) {
		return hidden
	}
	return words
}

// tell makes of an answer the words that are logged, which have no secrets.
// About credentials the collector may say anything, in any form; so that is not
// logged if there are any.
func (a *answer) tell(s *settings) {
	a.check = advice(a.verdict, s.protocol, a.status+" "+a.said)
	if a.verdict == misdirected && s.Signal == SignalLogs && !speaksOfCompression(a.status+" "+a.said) {
		a.check = "the endpoint takes no logs: give the collector a pipeline of logs, or leave --logs out; traces do not wait for it"
	}
	if a.verdict == denied && (len(s.headers) > 0 || s.headerFiles != nil) {
		a.said = ""
	}
	a.said = quotable(a.said, s.known())
	a.words = a.said
	if a.status != "" {
		a.words = sentence(a.status, a.said)
	}
}

// advice says what to look at.
func advice(v verdict, protocol, words string) string {
	switch {
	case v == denied:
		return "check the credentials in OTEL_EXPORTER_OTLP_HEADERS, --otlp-headers, --otlp-headers-file or --otlp-bearer-token-file, and that they may write traces; " +
			"the collector's own log may say more"
	case v == throttled:
		return "nothing is lost while the queue has room; if this lasts, the collector is too small or limits rollspan"
	case v == unsure:
		return "look into the collector's own log"
	case v == misdirected && speaksOfCompression(words):
		return "the collector may take no compressed requests: set --otlp-compression=none"
	case v == misdirected && protocol == ProtocolGRPC:
		return "the endpoint takes no traces by gRPC; check host and port (mostly 4317), or set --otlp-protocol=http/protobuf"
	case v == misdirected:
		return "the URL takes no traces; check host, port (mostly 4318) and path (mostly /v1/traces), or set --otlp-protocol=grpc"
	}
	if known := reasonIn(words); known != nil {
		return known.check
	}
	return "check that the collector runs and listens there: grpc is mostly on port 4317, http/protobuf on 4318"
}

// reasonIn finds in words why nobody answers; nil where they do not say.
func reasonIn(words string) *reason {
	for i := range reasons {
		if slices.ContainsFunc(reasons[i].words, func(part string) bool { return strings.Contains(words, part) }) {
			return &reasons[i]
		}
	}
	return nil
}

// reason is why nobody answers, where certain words are said.
type reason struct {
	words  []string
	reason Reason
	check  string
}

// reasons are why nobody answers, by the words of Go's network, TLS, net/http and gRPC. The
// first that fits counts: what is said of a name that is not found may end in a timeout,
// too, and no policy is in the way then.
var reasons = []reason{
	{
		[]string{"certificate required", "bad certificate"},
		ReasonTLS,
		"the collector wants rollspan's own certificate: check --otlp-client-certificate and --otlp-client-key",
	},
	{
		[]string{"certificate has expired"},
		ReasonTLS,
		"the collector's certificate has expired, or is not valid yet: renew it, and check the clocks",
	},
	{
		[]string{"unknown authority"},
		ReasonTLS,
		"the collector's certificate is of an authority that is not known here: name its certificate with --otlp-certificate",
	},
	{
		[]string{"x509:", "certificate"},
		ReasonTLS,
		"check --otlp-certificate, and that the collector's certificate is valid for the endpoint's host name",
	},
	{
		[]string{"first record does not look like a TLS handshake", "server gave HTTP response to HTTPS client"},
		ReasonProtocol,
		"the collector speaks plain text: write http:// in the endpoint, or set --otlp-insecure",
	},
	{
		[]string{
			"error reading server preface", "malformed HTTP response", "frame too large",
			// net/http of a server that speaks first, as one of HTTP/2 may.
			"readLoopPeekFailLocked: %!w(<nil>)",
		},
		ReasonProtocol,
		"the collector speaks something else on this port: check --otlp-protocol (grpc is mostly on 4317, " +
			"http/protobuf on 4318) and http:// against https://",
	},
	{
		[]string{"no such host", "produced zero addresses", "server misbehaving"},
		ReasonName,
		"the endpoint's host name is unknown here; in a cluster it is <service>.<namespace>.svc",
	},
	{
		// gRPC looks names up before it has a balancing policy.
		[]string{"lookup ", "waiting for new LB policy", "name resolver"},
		ReasonName,
		"the endpoint's host name cannot be looked up: check that the cluster's DNS answers, " +
			"and that no NetworkPolicy keeps rollspan from port 53",
	},
	{
		[]string{"connection refused"},
		ReasonRefused,
		"the host is there, and nothing listens on that port: check that the collector runs, that its Service has endpoints, " +
			"and the port: grpc is mostly on port 4317, http/protobuf on 4318",
	},
	{
		[]string{"no route to host", "network is unreachable"},
		ReasonNetwork,
		"no way leads to that address: check the endpoint's host, and the network of the nodes",
	},
	{
		[]string{"waiting for connections to become ready", "dial tcp", "i/o timeout"},
		ReasonSilent,
		"the endpoint's host does not answer at all: check that no NetworkPolicy or firewall is in the way, and host and port",
	},
	{
		[]string{"deadline exceeded", "DeadlineExceeded", "Client.Timeout"},
		ReasonSlow,
		"the collector takes long to answer: check that it keeps up, and that no NetworkPolicy is in the way; " +
			"--otlp-timeout is how long it may take",
	},
}
