package export

import (
	"crypto/tls"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
)

// TestAsk has each kind of trouble told from the others, with what to do.
func TestAsk(t *testing.T) {
	both(t, func(t *testing.T, c *collector) {
		config := testConfig(c)
		want := func(name string, config Config, reason Reason, check string) {
			t.Helper()
			asked, err := Ask(t.Context(), config)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if asked.Reason != reason || !strings.Contains(asked.Check, check) || asked.Protocol != c.protocol {
				t.Errorf("%s: %+v, want %q and %q", name, asked, reason, check)
			}
			if strings.Contains(asked.Said+asked.Check, "s3cr") {
				t.Errorf("%s: it repeats a secret: %+v", name, asked)
			}
		}
		want("nobody listens", config, ReasonRefused, "nothing listens on that port")
		hasty := config
		hasty.Timeout = time.Nanosecond // over before there is an answer, as where a packet is dropped
		want("nobody answers", hasty, ReasonSilent, "no NetworkPolicy or firewall")
		unknown := config
		unknown.Endpoint = "http://otel-collector..observability:4317" // no name server need be asked about that
		unknown.Protocol = c.protocol
		want("nobody knows the name", unknown, ReasonName, "<service>.<namespace>.svc")

		c.up()
		want("all is well", config, "", "")
		other := config
		other.Protocol = map[string]string{ProtocolGRPC: ProtocolHTTP, ProtocolHTTP: ProtocolGRPC}[c.protocol]
		if asked, err := Ask(t.Context(), other); err != nil || asked.Reason != ReasonProtocol {
			t.Errorf("by the other protocol: %+v, %v", asked, err)
		}
		encrypted := config
		encrypted.Endpoint = strings.Replace(config.Endpoint, "http://", "https://", 1)
		want("it speaks plain text", encrypted, ReasonProtocol, "the collector speaks plain text")

		config.Headers = "authorization=s3cret-token"
		c.on(func(request) reply {
			return reply{grpc: codes.Unauthenticated, http: http.StatusUnauthorized, message: "who is s3cret-token?"}
		})
		want("it wants others", config, ReasonCredentials, "check the credentials")
		c.on(func(request) reply {
			return reply{grpc: codes.InvalidArgument, http: http.StatusBadRequest, message: "no spans"}
		})
		want("it minds a request without spans", config, "", "")
		c.on(func(request) reply { return reply{grpc: codes.Internal, http: http.StatusInternalServerError} })
		want("it fails", config, ReasonFailed, "own log")
	})
}

// TestAskWithoutTrust has a certificate that nobody vouches for.
func TestAskWithoutTrust(t *testing.T) {
	both(t, func(t *testing.T, c *collector) {
		server, _, _ := certificates(t)
		c.tls = &tls.Config{Certificates: []tls.Certificate{server}}
		c.up()
		config := testConfig(c)
		config.Endpoint = strings.Replace(config.Endpoint, "http://", "https://", 1)
		asked, err := Ask(t.Context(), config)
		if err != nil || asked.Reason != ReasonTLS || !strings.Contains(asked.Check, "--otlp-certificate") {
			t.Errorf("%+v, %v", asked, err)
		}
	})
}

// TestAskNonsense has the flag named.
func TestAskNonsense(t *testing.T) {
	if asked, err := Ask(t.Context(), Config{Endpoint: "ftp://x"}); err == nil || !strings.Contains(err.Error(), "--otlp-endpoint") {
		t.Errorf("%+v, %v", asked, err)
	}
}
