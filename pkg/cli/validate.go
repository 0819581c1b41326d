package cli

import (
	"fmt"
	"net"

	"k8s.io/apimachinery/pkg/util/validation"
)

// validateNamespaces finds what cannot be a namespace: to watch one would bring
// nothing, and no error.
func validateNamespaces(names []string) error {
	for _, name := range names {
		if why := validation.IsDNS1123Label(name); len(why) > 0 {
			return fmt.Errorf("--namespace: %q is not the name of a namespace: %s", name, why[0])
		}
	}
	return nil
}

// validateAddress finds what nothing can be served on; "" is no address.
func validateAddress(flag, address string) error {
	if address == "" {
		return nil
	}
	_, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = net.LookupPort("tcp", port)
	}
	if err != nil {
		return fmt.Errorf("--%s: %q is not HOST:PORT, such as :8080 or 127.0.0.1:8080: %w", flag, address, err)
	}
	return nil
}
