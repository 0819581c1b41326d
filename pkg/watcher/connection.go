package watcher

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// Connection says how to reach the API server. The zero value finds it as
// kubectl does.
type Connection struct {
	// Kubeconfig is a kubeconfig file. Default: the files that KUBECONFIG
	// lists; without KUBECONFIG the service account, inside of a cluster, or
	// ~/.kube/config.
	Kubeconfig string
	// Context is the kubeconfig's context to use. Default: its current one.
	Context string
	// QPS and Burst bound the requests to the API server per second, over
	// time and at once. Watch events are not requests. Defaults 20 and 40.
	QPS   float32
	Burst int
}

const (
	defaultQPS   = 20
	defaultBurst = 40
)

// AddFlags adds a flag for each field.
func (c *Connection) AddFlags(fs *pflag.FlagSet) {
	fs.StringVar(&c.Kubeconfig, "kubeconfig", c.Kubeconfig,
		"kubeconfig `FILE`; default $KUBECONFIG, the pod's service account, ~/.kube/config")
	fs.StringVar(&c.Context, "context", c.Context, "`NAME` of the kubeconfig context; default its current one")
	fs.Float32Var(&c.QPS, "qps", defaultQPS, "requests to the API server per second, over time")
	fs.IntVar(&c.Burst, "burst", defaultBurst, "requests to the API server at once")
}

// Validate returns what is wrong with the numbers, by the names of their flags. Zero
// is the default.
func (c *Connection) Validate() error {
	switch {
	case c.QPS < 0:
		return fmt.Errorf("--qps: %g is not a rate; it must be more than 0", c.QPS)
	case c.Burst < 0:
		return fmt.Errorf("--burst: %d is not a number of requests; it must be at least 1", c.Burst)
	}
	return nil
}

// RESTConfig returns the client configuration. An error names the file, and
// the contexts there are where the one that is wanted is not.
func (c *Connection) RESTConfig() (*rest.Config, error) {
	config, err := c.load()
	if err != nil {
		return nil, err
	}
	config.QPS, config.Burst = c.QPS, c.Burst
	if config.QPS == 0 {
		config.QPS = defaultQPS
	}
	if config.Burst == 0 {
		config.Burst = defaultBurst
	}
	return config, nil
}

// Namespace is that of the kubeconfig's context, as for kubectl; "default" where there is
// none.
func (c *Connection) Namespace() string {
	config := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(c.rules(), &clientcmd.ConfigOverrides{CurrentContext: c.Context})
	namespace, _, err := config.Namespace()
	if err != nil || namespace == "" {
		return metav1.NamespaceDefault
	}
	return namespace
}

// Contexts are the names of the contexts that there are, in order; none where the kubeconfig
// cannot be read.
func (c *Connection) Contexts() []string {
	raw, err := c.rules().Load()
	if err != nil {
		return nil
	}
	return slices.Sorted(maps.Keys(raw.Contexts))
}

// rules say which kubeconfig is loaded.
func (c *Connection) rules() *clientcmd.ClientConfigLoadingRules {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.Warner = func(error) {} // a missing file is in load's error
	rules.ExplicitPath = c.Kubeconfig
	return rules
}

func (c *Connection) load() (*rest.Config, error) {
	rules := c.rules()
	fromEnv := os.Getenv(clientcmd.RecommendedConfigPathEnvVar)
	if c.Kubeconfig == "" && c.Context == "" && fromEnv == "" {
		if config, err := rest.InClusterConfig(); err == nil {
			return config, nil
		} else if !errors.Is(err, rest.ErrNotInCluster) {
			return nil, fmt.Errorf("the pod's service account cannot be used: %w", err)
		}
	}

	files := strings.Join(rules.GetLoadingPrecedence(), ", ")
	raw, err := rules.Load()
	if err != nil {
		if os.IsNotExist(err) {
			return nil, fmt.Errorf("kubeconfig %s: there is no such file", files)
		}
		return nil, fmt.Errorf("kubeconfig %s: %w", files, err)
	}
	if len(raw.Contexts) == 0 {
		return nil, fmt.Errorf("no cluster to talk to: %s does not exist or has no contexts; name a kubeconfig with --kubeconfig or KUBECONFIG", files)
	}
	if err := checkContext(raw, c.Context, files); err != nil {
		return nil, err
	}
	if err := checkProxy(raw, c.Context); err != nil {
		return nil, fmt.Errorf("kubeconfig %s: %w", files, err)
	}
	config, err := clientcmd.NewNonInteractiveClientConfig(*raw, c.Context, &clientcmd.ConfigOverrides{}, rules).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("kubeconfig %s: %w", files, err)
	}
	if err := hideLogin(config); err != nil {
		return nil, fmt.Errorf("kubeconfig %s: %w", files, err)
	}
	return config, nil
}

// checkProxy finds a proxy-url that cannot be used. What client-go says of one repeats
// all of it, and there may be a password in it.
func checkProxy(raw *clientcmdapi.Config, wanted string) error {
	context := raw.Contexts[cmp.Or(wanted, raw.CurrentContext)]
	cluster := raw.Clusters[context.Cluster]
	if cluster == nil || cluster.ProxyURL == "" {
		return nil
	}
	u, err := url.Parse(cluster.ProxyURL)
	if err != nil || !slices.Contains([]string{"http", "https", "socks5"}, u.Scheme) {
		return fmt.Errorf("the proxy-url of cluster %q is not the URL of a proxy; write http://host:port, https://host:port or socks5://host:port", context.Cluster)
	}
	return nil
}

// hideLogin moves a user and a password from the server's URL to where client-go keeps
// them, as the URL is in every log and error. It also finds a URL that is none, of which
// client-go would repeat all.
func hideLogin(config *rest.Config) error {
	u, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return errors.New("the server of the cluster is not a URL; write https://host:port")
	}
	if u.User == nil {
		return nil
	}
	// Whatever else there is wins, as it does with client-go.
	if config.BearerToken == "" && config.BearerTokenFile == "" && config.Username == "" &&
		config.ExecProvider == nil && config.AuthProvider == nil {
		config.Username = u.User.Username()
		config.Password, _ = u.User.Password()
	}
	u.User = nil
	config.Host = u.String()
	return nil
}

func checkContext(raw *clientcmdapi.Config, wanted, files string) error {
	there := strings.Join(slices.Sorted(maps.Keys(raw.Contexts)), ", ")
	name := cmp.Or(wanted, raw.CurrentContext)
	switch {
	case name == "":
		return fmt.Errorf("kubeconfig %s has no current context; choose one with --context: %s", files, there)
	case raw.Contexts[name] == nil:
		return fmt.Errorf("kubeconfig %s has no context %q; it has: %s", files, name, there)
	}
	return nil
}
