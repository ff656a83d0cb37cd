#!/usr/bin/env bash
# One virtual machine with SGX: its group, a closed network, and the quote library's configuration for Azure.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=deploy/azure/common.sh
source "$here/common.sh"

usage() {
  cat <<'TEXT'
usage: deploy/azure/vm.sh --group NAME --name NAME --location LOCATION --ssh-key FILE [options]

  --size SIZE            of the families DCsv3 and DCdsv3; Standard_DC4s_v3
  --image URN            Canonical:0001-com-ubuntu-server-jammy:22_04-lts-gen2:latest
  --user NAME            who logs in by the key; azureuser
  --ssh-from CIDR        who may connect to port 22; without it the machine has no public address
  --dry-run              print the commands and run none
TEXT
}

group='' name='' location='' ssh_key='' ssh_from='' user=azureuser
size=Standard_DC4s_v3
image=Canonical:0001-com-ubuntu-server-jammy:22_04-lts-gen2:latest
while (($#)); do
  case $1 in
    --dry-run) dry_run=true && shift && continue ;;
    -h | --help) usage && exit 0 ;;
    --group | --name | --location | --ssh-key | --ssh-from | --user | --size | --image) ;;
    *) die "unknown option: $1" ;;
  esac
  (($# > 1)) || die "$1 takes a value"
  case $1 in
    --group) group=$2 ;;
    --name) name=$2 ;;
    --location) location=$2 ;;
    --ssh-key) ssh_key=$2 ;;
    --ssh-from) ssh_from=$2 ;;
    --user) user=$2 ;;
    --size) size=$2 ;;
    --image) image=$2 ;;
  esac
  shift 2
done

need group "$group" "$GROUP_FORM" 'the name of a resource group'
need name "$name" "$NAME_FORM" 'small letters, digits and hyphens'
need location "$location" "$LOCATION_FORM" 'a location of Azure, such as westeurope'
need size "$size" "$SGX_SIZES" 'Standard_DC1s_v3 to Standard_DC48s_v3, or the same with ds: other families have no SGX'
need user "$user" '[a-z_][-a-z0-9_]{0,31}' 'a name of a user'
need image "$image" '[^:]+:[^:]+:[^:]+:[^:]+' 'publisher:offer:sku:version, of generation 2'
[[ -n $ssh_key ]] || die '--ssh-key must be given: a file with a public key'
grep -qE '^(ssh-|ecdsa-)' "$ssh_key" 2>/dev/null || die "--ssh-key is no file with a public key: $ssh_key" 'ssh-keygen -t ed25519'
if [[ -n $ssh_from ]]; then
  need ssh-from "$ssh_from" '[0-9a-fA-F:.]+/[0-9]{1,3}' 'a network, such as 192.0.2.0/24'
  [[ ${ssh_from##*/} =~ [1-9] ]] || die '--ssh-from would let everybody connect' 'name your own network'
fi

check_size "$location" "$size"
az_do group create --name "$group" --location "$location"
az_do network nsg create --resource-group "$group" --name "$name" --location "$location"
address=(--public-ip-address '')
if [[ -n $ssh_from ]]; then
  address=(--public-ip-sku Standard)
  az_do network nsg rule create --resource-group "$group" --nsg-name "$name" --name ssh --priority 1000 \
    --direction Inbound --access Allow --protocol Tcp \
    --source-address-prefixes "$ssh_from" --destination-port-ranges 22
fi
az_do vm create --resource-group "$group" --name "$name" --location "$location" --size "$size" --image "$image" \
  --authentication-type ssh --admin-username "$user" --ssh-key-values "$ssh_key" \
  --nsg "$name" "${address[@]}" --custom-data "$here/cloud-init.yaml"

if [[ -n $ssh_from ]]; then
  az_ask vm show --resource-group "$group" --name "$name" --show-details --query publicIps
  echo "next: ssh $user@${answer:-ADDRESS}; then as deploy/azure/README.md says, from \"On the machine\""
else
  echo "next: az network bastion ssh, or a machine in the same network; then as deploy/azure/README.md says"
fi
