package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/pflag"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/rollspan/rollspan/pkg/doctor"
	"github.com/rollspan/rollspan/pkg/watcher"
)

// asker is who asks a cluster about something in a namespace, as kubectl has it: its flags.
type asker struct {
	connection watcher.Connection
	namespace  string
	as         string
	asGroups   []string
	timeout    string
}

// addFlags adds all flags but that of the namespace, which comes first.
func (k *asker) addFlags(fs *pflag.FlagSet) {
	k.connection.AddFlags(fs)
	fs.StringVar(&k.as, "as", "", "`USER` to ask as, such as system:serviceaccount:shop:ci; default whoever the kubeconfig says")
	fs.StringSliceVar(&k.asGroups, "as-group", nil, "`GROUP` to ask as a member of, repeatable; it takes --as")
	fs.StringVar(&k.timeout, "request-timeout", "0", "how long one request to the API server may take, as kubectl has it: 1s, 2m; 0 for any time")
}

func (k *asker) addNamespaceFlag(fs *pflag.FlagSet) {
	fs.StringVarP(&k.namespace, "namespace", "n", "", "`NAMESPACE` of the object; default that of the kubeconfig's context")
}

func (k *asker) validate() error {
	if k.namespace != "" {
		if err := validateNamespaces([]string{k.namespace}); err != nil {
			return err
		}
	}
	if len(k.asGroups) > 0 && k.as == "" {
		return errors.New("--as-group: a group is of no use without a user; give --as, too")
	}
	if d, err := clientcmd.ParseTimeout(k.timeout); err != nil || d < 0 {
		return fmt.Errorf("--request-timeout: %q is not a duration, such as 30s; 0 is for any time", k.timeout)
	}
	return k.connection.Validate()
}

// config is how to reach the API server. It settles the namespace, too.
func (k *asker) config() (*rest.Config, error) {
	config, err := restConfig(&k.connection)
	if err != nil {
		return nil, err
	}
	if k.namespace == "" {
		k.namespace = k.connection.Namespace()
	}
	if k.as != "" {
		config.Impersonate = rest.ImpersonationConfig{UserName: k.as, Groups: k.asGroups}
	}
	if limit, _ := clientcmd.ParseTimeout(k.timeout); limit > 0 { // it is validated
		config.Wrap(func(next http.RoundTripper) http.RoundTripper { return &bounded{next, limit} })
	}
	return config, nil
}

// advised says, too, what to do about an error, if it is that the API server did not answer or does
// not know who asks.
func advised(err error) error {
	_, unanswered := errors.AsType[*url.Error](err)
	if errors.Is(err, errLate) || errors.Is(err, context.Canceled) || !unanswered && !apierrors.IsUnauthorized(err) {
		return err
	}
	return fmt.Errorf("%w\n%s", err, doctor.Advice(err))
}

// bounded bounds requests in time. A watch goes on for as long as it likes once it is answered:
// what is bounded is how long somebody waits for that.
type bounded struct {
	next  http.RoundTripper
	limit time.Duration
}

// errLate says whose limit it was.
var errLate = errors.New("the API server did not answer in the time that --request-timeout gives")

// RoundTrip makes a request.
func (b *bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(r.Context())
	timer := time.AfterFunc(b.limit, func() { cancel(errLate) })
	done := func() {
		timer.Stop()
		cancel(nil)
	}
	why := func(err error) error {
		if errors.Is(context.Cause(ctx), errLate) {
			return errLate
		}
		return err
	}
	answer, err := b.next.RoundTrip(r.WithContext(ctx))
	if err != nil {
		defer done()
		return nil, why(err)
	}
	if watch := r.URL.Query().Get("watch"); watch != "" && !strings.EqualFold(watch, "false") && watch != "0" {
		timer.Stop()
	}
	answer.Body = &boundedBody{answer.Body, why, done}
	return answer, nil
}

// boundedBody ends the time that a request has when it is read. It says why reading it failed.
type boundedBody struct {
	io.ReadCloser
	why  func(error) error
	done func()
}

func (b *boundedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) { // one that is whole came in time
		err = b.why(err)
	}
	return n, err
}

func (b *boundedBody) Close() error {
	defer b.done()
	return b.ReadCloser.Close()
}
