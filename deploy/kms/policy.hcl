# What the KMS plugin of the Kubernetes cluster prod-eu-1 may do in OpenBao. Once, as an administrator:
#
#   bao secrets enable -path=transit transit
#   bao write -f transit/keys/kubernetes type=aes256-gcm96
#   sealctl kms policy openbao | bao policy write sealwright-kms-prod-eu-1 -
#   bao auth enable -path=approle approle
#   bao write auth/approle/role/sealwright-kms-prod-eu-1 token_policies=sealwright-kms-prod-eu-1 token_no_default_policy=true token_period=24h secret_id_num_uses=0 secret_id_ttl=0
#   Then role id and secret id go to each node: docs/runbooks/kms.md, Install.
#
# Without the policy "default" a token is checked about twice as fast, and can do nothing else.

path "transit/encrypt/kubernetes" { capabilities = ["update"] }
path "transit/decrypt/kubernetes" { capabilities = ["update"] }
path "transit/keys/kubernetes"    { capabilities = ["read"] }
path "auth/token/renew-self"      { capabilities = ["update"] }
path "auth/token/revoke-self"     { capabilities = ["update"] }
