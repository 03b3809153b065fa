// Herald-hub is the authority of a Herald fleet, and the operator's commands.
package main

import (
	"context"
	"os"

	"github.com/herald-im/herald/hub/console"
)

func main() {
	os.Exit(console.Main(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
}
