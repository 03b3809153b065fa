package owner

import (
	"errors"
	"fmt"
)

// NotThere is what can be done about a device that is not found.
const NotThere = "it is not plugged in, or has another name (herald devices lists what is there)"

// Advised adds to why a device cannot be used what can be done about it, where that is
// known.
func Advised[E interface {
	comparable
	error
}](err error, advice map[E]string) error {
	if e, ok := errors.AsType[E](err); ok && advice[e] != "" {
		return fmt.Errorf("%w: %s", err, advice[e])
	}
	return err
}
