// Command program stands in for rollspan in the tests: it builds in a second.
package main

import (
	"fmt"
	"os"
)

var version string

func main() {
	fmt.Println(version, os.Getuid(), os.Getgid())
}
