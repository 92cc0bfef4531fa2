"""The queries and mutations, for version 2026-10. Tests validate each against a schema.

https://shopify.dev/docs/api/admin-graphql/2026-10
"""

from typing import Final

_ORDER_FIELDS: Final = """
fragment OrderFields on Order {
  id name updatedAt cancelledAt closedAt test sourceName
  displayFinancialStatus displayFulfillmentStatus
  currencyCode presentmentCurrencyCode
  totalOutstandingSet {
    shopMoney { amount currencyCode } presentmentMoney { amount currencyCode }
  }
  note tags phone email
  customAttributes { key value }
  shippingAddress { ...AddressFields }
  billingAddress { ...AddressFields }
  customer { id firstName lastName defaultEmailAddress { emailAddress }
    defaultPhoneNumber { phoneNumber } }
  shippingLines(first: 10) { nodes { title code deliveryCategory isRemoved } }
  lineItems(first: 50) {
    nodes {
      requiresShipping quantity currentQuantity unfulfilledQuantity
      customAttributes { key value }
    }
  }
  fulfillments(first: 25) { id status trackingInfo { number } }
}
fragment AddressFields on MailingAddress {
  name firstName lastName company address1 address2 city province provinceCode zip
  country countryCodeV2 phone
}
"""

ORDER: Final = (
    """
query Order($id: ID!) { order(id: $id) { ...OrderFields } }
"""
    + _ORDER_FIELDS
)

ORDER_OF_FULFILLMENT_ORDER: Final = (
    """
query OrderOfFulfillmentOrder($id: ID!) {
  fulfillmentOrder(id: $id) { order { ...OrderFields } }
}
"""
    + _ORDER_FIELDS
)

UPDATED_ORDERS: Final = (
    """
query UpdatedOrders($query: String!, $first: Int!, $after: String) {
  orders(first: $first, after: $after, query: $query, sortKey: UPDATED_AT) {
    nodes { ...OrderFields }
    pageInfo { hasNextPage endCursor }
  }
}
"""
    + _ORDER_FIELDS
)

FULFILLMENTS: Final = """
query Fulfillments($id: ID!) {
  order(id: $id) {
    id cancelledAt
    fulfillments(first: 25) {
      id status trackingInfo { number }
      events(first: 50) { nodes { status happenedAt } }
    }
    fulfillmentOrders(first: 25) { nodes { id status assignedLocation { location { id } } } }
  }
}
"""

CREATE_FULFILLMENT: Final = """
mutation CreateFulfillment($fulfillment: FulfillmentInput!) {
  fulfillmentCreate(fulfillment: $fulfillment) {
    fulfillment { id status }
    userErrors { field message }
  }
}
"""

CREATE_EVENT: Final = """
mutation CreateEvent($event: FulfillmentEventInput!) {
  fulfillmentEventCreate(fulfillmentEvent: $event) {
    fulfillmentEvent { id status }
    userErrors { field message }
  }
}
"""

REFUNDABLE: Final = """
query Refundable($id: ID!) {
  order(id: $id) {
    id
    suggestedRefund(suggestFullRefund: true, refundShipping: true) {
      amountSet { shopMoney { amount } }
      refundLineItems { lineItem { id } quantity }
      suggestedTransactions {
        gateway parentTransaction { id } amountSet { shopMoney { amount } }
      }
    }
  }
}
"""

CREATE_REFUND: Final = """
mutation CreateRefund($input: RefundInput!, $key: String!) {
  refundCreate(input: $input) @idempotent(key: $key) {
    refund { id }
    userErrors { field message }
  }
}
"""

SUBSCRIPTIONS: Final = """
query Subscriptions($first: Int!, $after: String) {
  webhookSubscriptions(first: $first, after: $after) {
    nodes { id topic uri }
    pageInfo { hasNextPage endCursor }
  }
}
"""

SUBSCRIBE: Final = """
mutation Subscribe(
  $topic: WebhookSubscriptionTopic!, $webhookSubscription: WebhookSubscriptionInput!
) {
  webhookSubscriptionCreate(topic: $topic, webhookSubscription: $webhookSubscription) {
    webhookSubscription { id topic uri }
    userErrors { field message }
  }
}
"""

RESUBSCRIBE: Final = """
mutation Resubscribe($id: ID!, $webhookSubscription: WebhookSubscriptionInput!) {
  webhookSubscriptionUpdate(id: $id, webhookSubscription: $webhookSubscription) {
    webhookSubscription { id topic uri }
    userErrors { field message }
  }
}
"""

SHOP: Final = """
query Shop { shop { name myshopifyDomain } currentAppInstallation { accessScopes { handle } } }
"""
