/** What files are printed for where there is no configuration: the same that lies in deploy/kms/kms.yaml. */
export const EXAMPLE_CONFIG = `# Configuration of the KMS plugin: /etc/sealwright/kms.yaml, mode 0600. All fields: apps/kms-plugin/README.md
# The Kubernetes cluster: the same on each of its nodes, and never changed. It stands in each key id.
clusterId: prod-eu-1
backend:
  type: transit
  # Nodes of one OpenBao, 1 to 16: any that is unsealed serves, as long as most of them are up. With three, one may fail.
  addresses:
    - https://bao-1.example.org:8200
    - https://bao-2.example.org:8200
    - https://bao-3.example.org:8200
  keyName: kubernetes
  auth:
    method: approle
    roleIdFile: /etc/sealwright/kms/role-id
    secretIdFile: /etc/sealwright/kms/secret-id
  tls:
    caFile: /etc/sealwright/kms/ca.pem
`
