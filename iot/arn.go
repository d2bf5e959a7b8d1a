package iot

import "strings"

// The names that AWS has for things, and commands that ask it about them.

// arn is the Amazon Resource Name of something in AWS IoT. The account is not known here.
func (s *symptom) arn(resource string) string {
	region := s.region("REGION")
	partition := "aws"
	switch {
	case strings.HasPrefix(region, "cn-"):
		partition = "aws-cn"
	case strings.HasPrefix(region, "us-gov-"):
		partition = "aws-us-gov"
	}
	return "arn:" + partition + ":iot:" + region + ":ACCOUNT:" + oneLine(resource)
}

// arns lists the first of several ARNs of a kind such as "topicfilter/".
func (s *symptom) arns(kind string, names []string) string {
	const most = 8 // as many filters as AWS IoT Core takes in one SUBSCRIBE
	var list []string
	for _, name := range names[:min(len(names), most)] {
		list = append(list, s.arn(kind+name))
	}
	if len(names) > most {
		list = append(list, "...")
	}
	return strings.Join(list, ", ")
}

// region is the region of the endpoint, or unknown.
func (s *symptom) region(unknown string) string {
	if region := s.endpoint.Region(); region != "" {
		return region
	}
	return unknown
}

// certificateID is the name that AWS has for the client's certificate.
func (s *symptom) certificateID() string {
	if c := s.config.Credentials; c != nil && c.CertificateID != "" {
		return c.CertificateID
	}
	return "ID"
}

// ask says how to find out more: by a command of AWS's command line, for the endpoint's region. A server on this machine
// only plays AWS IoT Core, and its log says what AWS keeps to itself.
func (s *symptom) ask(words string) string {
	if s.endpoint.local() {
		return "read the log of " + s.where() + ", which plays AWS IoT Core: testbroker --aws says there which statement would allow it"
	}
	if region := s.region(""); region != "" {
		words += " --region " + region
	}
	return "aws iot " + words
}

func (s *symptom) describeEndpoint() string {
	return s.ask("describe-endpoint --endpoint-type iot:Data-ATS")
}

// describeCertificate shows whether AWS knows the certificate, its status, and its ARN.
func (s *symptom) describeCertificate() string {
	return s.ask("describe-certificate --certificate-id " + s.certificateID())
}

// testConnect asks whether the policies allow the client identifier.
func (s *symptom) testConnect() string {
	return s.testAuthorization("CONNECT", []string{s.arn("client/" + s.clientID())})
}

// testPublish asks whether the policies allow a message on topic, testSubscribe the same for filters.
func (s *symptom) testPublish(topic string) string {
	return s.testAuthorization("PUBLISH", []string{s.arn("topic/" + topic)})
}

func (s *symptom) testSubscribe(filters []string) string {
	var list []string
	for _, filter := range filters[:min(len(filters), 8)] {
		list = append(list, s.arn("topicfilter/"+filter))
	}
	return s.testAuthorization("SUBSCRIBE", list)
}

func (s *symptom) testAuthorization(action string, resources []string) string {
	if s.config.Authorizer != nil {
		return s.testAuthorizer() // it prints the policies
	}
	return s.ask("test-authorization --principal " + s.arn("cert/"+s.certificateID()) + " --client-id " + shell(s.clientID()) +
		" --auth-infos " + shell("actionType="+action+",resources="+strings.Join(resources, ",")))
}

// testAuthorizer asks the authorizer, with the secrets left to be filled in.
func (s *symptom) testAuthorizer() string {
	a := s.config.Authorizer
	words := "test-invoke-authorizer --authorizer-name " + shell(s.authorizerName())
	if a.TokenKey != "" {
		words += " --token TOKEN --token-signature SIGNATURE"
	}
	return s.ask(words + " --mqtt-context " + shell("username="+oneLine(a.UserName)+",password=BASE64,clientId="+s.clientID()))
}

// describeAuthorizer shows the authorizer's status, token key and public key.
func (s *symptom) describeAuthorizer() string {
	if s.config.Authorizer.Name == "" {
		return s.ask("describe-default-authorizer")
	}
	return s.ask("describe-authorizer --authorizer-name " + shell(s.authorizerName()))
}

func (s *symptom) authorizerName() string {
	if name := s.config.Authorizer.Name; name != "" {
		return oneLine(name)
	}
	return "NAME"
}

// shell quotes word for a shell if it has to be.
func shell(word string) string {
	if !strings.ContainsFunc(word, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("-_./:,=@+", r))
	}) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
