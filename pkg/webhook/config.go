package webhook

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	"github.com/spf13/pflag"

	"github.com/rollspan/rollspan/pkg/otlp/export"
)

// Defaults of Config.
const (
	DefaultQueueEvents = 1000
	DefaultQueueBytes  = 16 << 20
	DefaultMaxAge      = time.Hour
	DefaultMinBackoff  = time.Second
	DefaultMaxBackoff  = time.Minute
)

const flags = "--webhook-"

// Config says where events go, and which.
type Config struct {
	// URL is who takes events, by POST; empty for nobody.
	URL string
	// HeadersFile, Certificate, ClientCertificate, ClientKey and Timeout are those of
	// export.PeerConfig.
	HeadersFile, Certificate, ClientCertificate, ClientKey string
	Timeout                                                time.Duration
	// Include and Exclude are rules: see package filter.
	Include, Exclude []string

	// QueueEvents and QueueBytes bound the events that wait. When a bound is reached, the
	// namespace that has most of them loses its oldest. Defaults DefaultQueueEvents and
	// DefaultQueueBytes.
	QueueEvents, QueueBytes int
	// MaxAge is how long an event is tried for. Default DefaultMaxAge.
	MaxAge time.Duration
	// MinBackoff is the wait after the first failed request; each further failure doubles it,
	// up to MaxBackoff. Defaults DefaultMinBackoff and DefaultMaxBackoff.
	MinBackoff, MaxBackoff time.Duration
}

// AddFlags adds a flag for each field of c that somebody who runs rollspan may want to set.
func (c *Config) AddFlags(fs *pflag.FlagSet) {
	fs.StringVar(&c.URL, "webhook-url", c.URL,
		"`URL` to POST a CloudEvent to when a change is over or an alarm begins; other users of the machine can see flags, so give one that is secret with --config; default none")
	fs.StringVar(&c.HeadersFile, "webhook-headers-file", c.HeadersFile,
		"`FILE` with headers of these requests, name=value one a line, such as a mounted Secret; it may be renewed")
	fs.StringVar(&c.Certificate, "webhook-certificate", c.Certificate,
		"PEM `FILE` to verify the certificate of --webhook-url against; it may be renewed; default the system's certificates")
	fs.StringVar(&c.ClientCertificate, "webhook-client-certificate", c.ClientCertificate,
		"PEM `FILE` with rollspan's certificate for mutual TLS with --webhook-url")
	fs.StringVar(&c.ClientKey, "webhook-client-key", c.ClientKey, "PEM `FILE` with the key of that certificate")
	fs.DurationVar(&c.Timeout, "webhook-timeout", cmp.Or(c.Timeout, export.DefaultTimeout), "how long one of these requests may take")
	fs.StringArrayVar(&c.Include, "webhook-include", c.Include,
		"`CLAUSE` of what is sent, such as outcome=failed,namespace=shop|prod, repeatable; fields are type, namespace, kind, change, outcome, reason, alarm; default all")
	fs.StringArrayVar(&c.Exclude, "webhook-exclude", c.Exclude, "`CLAUSE` of what is not sent, repeatable; it wins")
}

// Validate returns everything that is wrong with c. Each error names the flag.
func (c *Config) Validate() error {
	if c.URL == "" {
		for flag, set := range map[string]bool{
			"headers-file": c.HeadersFile != "", "certificate": c.Certificate != "", "client-certificate": c.ClientCertificate != "",
			"client-key": c.ClientKey != "", "include": len(c.Include) > 0, "exclude": len(c.Exclude) > 0,
		} {
			if set {
				return fmt.Errorf("%s%s is of no use without %surl; give that, too", flags, flag, flags)
			}
		}
		return nil
	}
	_, wrong := c.filter()
	_, err := export.NewPeer(c.peer(), logr.Discard())
	return errors.Join(wrong, err)
}

func (c *Config) peer() export.PeerConfig {
	return export.PeerConfig{
		Flags: flags, URL: c.URL, HeadersFile: c.HeadersFile, Certificate: c.Certificate,
		ClientCertificate: c.ClientCertificate, ClientKey: c.ClientKey, Timeout: c.Timeout,
	}
}

func (c *Config) withDefaults() Config {
	out := *c
	out.QueueEvents = cmp.Or(out.QueueEvents, DefaultQueueEvents)
	out.QueueBytes = cmp.Or(out.QueueBytes, DefaultQueueBytes)
	out.MaxAge = cmp.Or(out.MaxAge, DefaultMaxAge)
	out.MinBackoff = cmp.Or(out.MinBackoff, DefaultMinBackoff)
	out.MaxBackoff = max(cmp.Or(out.MaxBackoff, DefaultMaxBackoff), out.MinBackoff)
	return out
}
