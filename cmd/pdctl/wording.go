package main

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/spf13/pflag"
)

// The libraries that read the command line say what went wrong in words of their
// own. Here they become a sentence that names the flag and what is allowed.

// allowedOf is what a flag of one of the library's own types takes.
var allowedOf = map[string]string{
	"int": "a whole number", "duration": "a time with its unit, such as 15s", "bool": "true or false",
}

// flagError words what a flag's value cannot be.
func flagError(err error) error {
	wrong, ok := errors.AsType[*pflag.InvalidValueError](err)
	if !ok {
		return err
	}
	if allowed := allowedOf[wrong.GetFlag().Value.Type()]; allowed != "" {
		return fmt.Errorf("--%s is %q: allowed is %s", wrong.GetFlag().Name, wrong.GetValue(), allowed)
	}
	return err
}

// How cobra words flags that are missing or do not go together.
var (
	requiredFlags = regexp.MustCompile(`^required flag\(s\) (".*") not set$`)
	oneRequired   = regexp.MustCompile(`^at least one of the flags in the group \[(.*)\] is required$`)
	notTogether   = regexp.MustCompile(`^if any flags in the group \[.*\] are set none of the others can be; \[(.*)\] were all set$`)
	onlyTogether  = regexp.MustCompile(`^if any flags in the group \[.*\] are set they must all be set; missing \[(.*)\]$`)
)

// groupError words what is wrong with the flags as a whole.
func groupError(err error) error {
	text := err.Error()
	if m := requiredFlags.FindStringSubmatch(text); m != nil {
		return missing(strings.Split(strings.Trim(m[1], `"`), `", "`), "and")
	}
	if m := oneRequired.FindStringSubmatch(text); m != nil {
		return missing(strings.Fields(m[1]), "or")
	}
	if m := onlyTogether.FindStringSubmatch(text); m != nil {
		return missing(strings.Fields(m[1]), "and")
	}
	if m := notTogether.FindStringSubmatch(text); m != nil {
		return fmt.Errorf("%s were given: allowed is one of them", dashed(strings.Fields(m[1]), "and"))
	}
	return err
}

func missing(flags []string, and string) error {
	is := "is"
	if len(flags) > 1 && and == "and" {
		is = "are"
	}
	return fmt.Errorf("%s %s missing", dashed(flags, and), is)
}

// dashed lists flags: --gpu, --model and --rate.
func dashed(flags []string, and string) string {
	list := "--" + strings.Join(flags, ", --")
	if at := strings.LastIndex(list, ", "); at >= 0 {
		list = list[:at] + " " + and + " " + list[at+2:]
	}
	return list
}
