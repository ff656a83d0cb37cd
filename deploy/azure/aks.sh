#!/usr/bin/env bash
# A pool of SGX nodes in a cluster of AKS: the add-on that gives devices away, its quote helper, and the nodes.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=deploy/azure/common.sh
source "$here/common.sh"

usage() {
  cat <<'TEXT'
usage: deploy/azure/aks.sh --group NAME --cluster NAME --location LOCATION [options]

  --create-cluster       make group and cluster too; else they are there
  --pool NAME            sgx
  --size SIZE            of the families DCsv3 and DCdsv3; Standard_DC4s_v3
  --count NUMBER         nodes in the pool; 1
  --dry-run              print the commands and run none
TEXT
}

group='' cluster='' location='' create=false pool=sgx count=1
size=Standard_DC4s_v3
while (($#)); do
  case $1 in
    --dry-run) dry_run=true && shift && continue ;;
    --create-cluster) create=true && shift && continue ;;
    -h | --help) usage && exit 0 ;;
    --group | --cluster | --location | --pool | --size | --count) ;;
    *) die "unknown option: $1" ;;
  esac
  (($# > 1)) || die "$1 takes a value"
  case $1 in
    --group) group=$2 ;;
    --cluster) cluster=$2 ;;
    --location) location=$2 ;;
    --pool) pool=$2 ;;
    --size) size=$2 ;;
    --count) count=$2 ;;
  esac
  shift 2
done

need group "$group" "$GROUP_FORM" 'the name of a resource group'
need cluster "$cluster" "$NAME_FORM" 'small letters, digits and hyphens'
need location "$location" "$LOCATION_FORM" 'a location of Azure, such as westeurope'
need pool "$pool" '[a-z][a-z0-9]{0,11}' 'at most 12 small letters and digits'
need size "$size" "$SGX_SIZES" 'Standard_DC1s_v3 to Standard_DC48s_v3, or the same with ds: other families have no SGX'
need count "$count" '[1-9][0-9]{0,2}' 'a number of nodes, 1 to 999'

check_size "$location" "$size"
if [[ $create == true ]]; then
  az_do group create --name "$group" --location "$location"
  # Without a network policy engine the network policies of deploy/ would be taken, and do nothing.
  az_do aks create --resource-group "$group" --name "$cluster" --location "$location" --node-count 2 \
    --network-plugin azure --network-plugin-mode overlay --network-dataplane cilium --network-policy cilium \
    --enable-addons confcom --enable-sgxquotehelper --enable-managed-identity --no-ssh-key
else
  az_do aks enable-addons --resource-group "$group" --name "$cluster" --addons confcom --enable-sgxquotehelper
fi
az_do aks nodepool add --resource-group "$group" --cluster-name "$cluster" --name "$pool" --mode User \
  --node-vm-size "$size" --node-count "$count" --labels ambergate/sgx=true
az_do aks get-credentials --resource-group "$group" --name "$cluster"
echo 'next: kubectl get nodes -l ambergate/sgx=true -o jsonpath="{.items[*].status.allocatable}": sgx.intel.com/epc must be there;'
echo '      then kubectl apply -k deploy/kubernetes/nodes-azure'
