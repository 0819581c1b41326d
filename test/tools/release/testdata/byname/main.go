// Program byname calls a method by a name that the linker cannot know.
package main

import (
	"os"
	"reflect"
)

func main() { call(os.Args[0]) }

//go:noinline
func call(name string) { reflect.ValueOf(os.Stdout).MethodByName(name).Call(nil) }
