package controlplane

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// UserAgent is what this package calls itself to the API server.
const UserAgent = "rollspan-test"

// Kubeconfig is the path of a kubeconfig file that may do everything.
func (c *ControlPlane) Kubeconfig() string { return c.kubeconfigPath(userAdmin) }

// RESTConfig is a client configuration that may do everything, without a limit
// on its rate. The caller owns it.
func (c *ControlPlane) RESTConfig() *rest.Config { return rest.CopyConfig(c.admin) }

// KubeconfigFor writes a kubeconfig file that acts as the ServiceAccount, so
// that a program runs with exactly the rights its manifests give it, and
// returns its path. The ServiceAccount must exist. The token lasts an hour.
//
// The API server hears of what was bound to the account a moment later than
// whoever bound it: KubeconfigFor waits until it grants these rights.
func (c *ControlPlane) KubeconfigFor(ctx context.Context, namespace, name string, rights ...authorizationv1.ResourceAttributes) (string, error) {
	client, err := kubernetes.NewForConfig(c.admin)
	if err != nil {
		return "", fmt.Errorf("controlplane: %w", err)
	}
	seconds := int64(time.Hour / time.Second)
	request, err := client.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, name, &authenticationv1.TokenRequest{
		Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &seconds},
	}, metav1.CreateOptions{})
	if err != nil {
		return "", fmt.Errorf("controlplane: token for ServiceAccount %s/%s: %w", namespace, name, err)
	}
	token := request.Status.Token
	own, err := kubernetes.NewForConfig(c.restConfig(token, UserAgent))
	if err != nil {
		return "", fmt.Errorf("controlplane: %w", err)
	}
	for _, right := range rights {
		review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &right}}
		var last error
		err := poll(ctx, 50*time.Millisecond, func() (bool, error) {
			answer, err := own.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
			last = err
			return err == nil && answer.Status.Allowed, nil
		})
		if err != nil {
			return "", fmt.Errorf("controlplane: ServiceAccount %s/%s may not %s %s: %w", namespace, name, right.Verb, right.Resource, errors.Join(err, last))
		}
	}
	path := c.kubeconfigPath(namespace + "." + name)
	return path, c.writeKubeconfig(path, name, token)
}

func (c *ControlPlane) kubeconfigPath(user string) string {
	return filepath.Join(c.dir, strings.ReplaceAll(user, ":", "-")+".kubeconfig")
}

func (c *ControlPlane) writeKubeconfig(path, user, token string) error {
	config := clientcmdapi.NewConfig()
	config.Clusters["rollspan-test"] = &clientcmdapi.Cluster{Server: c.url, CertificateAuthorityData: c.ca}
	config.AuthInfos[user] = &clientcmdapi.AuthInfo{Token: token}
	config.Contexts["rollspan-test"] = &clientcmdapi.Context{Cluster: "rollspan-test", AuthInfo: user}
	config.CurrentContext = "rollspan-test"
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		return fmt.Errorf("controlplane: %w", err)
	}
	return nil
}

func (c *ControlPlane) restConfig(token, userAgent string) *rest.Config {
	return &rest.Config{
		Host:            c.url,
		BearerToken:     token,
		TLSClientConfig: rest.TLSClientConfig{CAData: c.ca},
		UserAgent:       userAgent,
		QPS:             -1,
	}
}
